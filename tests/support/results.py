"""Rows of results.json made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailored_llama.recipe import Recipe
from tailored_llama.results import Results, Row, StageName, results_of


def figures(main: float, **changes: Any) -> dict[str, Any]:
    """What a model scores on one task of choices."""
    whole = {
        "acc": main, "acc_norm": main, "main": main, "metric": "acc", "stderr": 0.03, "chance": 0.5, "n": 100,
        "cut": 0, "prompt": "paper",
    }  # fmt: skip
    return whole | changes


def corpus(perplexity: float, length: int = 64) -> dict[str, Any]:
    return {"perplexity": perplexity, "tokens": 10 * length, "windows": 10, "length": length}


def row(stage: StageName, tasks: Mapping[str, float | dict[str, Any]], **changes: Any) -> Row:
    """A row with these main metrics, or whole figures, by task."""
    by_task = {
        name: value if isinstance(value, dict)
        else figures(value, **({"synthetic": True} if name.startswith("world_") else {}))
        for name, value in tasks.items()
    }  # fmt: skip
    means = [entry["main"] for entry in by_task.values()]
    content = {
        "stage": stage, "task_tuned": None, "params": 1000, "macs": 2000, "tasks": by_task, "prompt": "same",
        "mean": sum(means) / len(means), "chance": 0.5, "perplexity": {}, "seconds": 1.0, "peak_memory": 5,
    }  # fmt: skip
    return Row.model_validate(content | changes)


def assembled(rows: list[Row], recipe: Recipe) -> Results:
    """The results of a run with these rows."""
    return results_of(rows, recipe.model_dump(mode="json"), {"tailored-llama": "0"})
