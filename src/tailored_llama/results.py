"""The rows of `results.json`: what is put beside what, and relative to what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tailored_llama.checkpoint.lineage import stage_of
from tailored_llama.recipe import Recipe
from tailored_llama.stage import versions

Row = dict[str, Any]


def combine(rows: list[Row]) -> Row:
    """One row from several adapters of one base: each task as scored by its own adapter.

    Sizes are those of the shared base, seconds add up, memory is the largest, and a perplexity is the mean
    over the adapters.
    """
    tasks = {name: figures for row in rows for name, figures in row["tasks"].items()}
    corpora = rows[0]["perplexity"]
    return {
        **rows[0],
        "task_tuned": None,
        "tasks": tasks,
        "mean": mean(figures["main"] for figures in tasks.values()),
        "chance": mean(figures["chance"] for figures in tasks.values()),
        "perplexity": {
            name: {**corpora[name], "perplexity": mean(row["perplexity"][name]["perplexity"] for row in rows)}
            for name in corpora
        },
        "seconds": sum(row["seconds"] for row in rows),
        "peak_memory": max(row["peak_memory"] for row in rows),
    }


def assemble(rows: list[Row], recipe: Recipe) -> dict[str, Any]:
    """The whole of `results.json`: every row beside the dense model on the same tasks in the same wording."""
    dense = {row["prompt"]: row for row in rows if row["stage"] == "dense"}
    return {
        "rows": [{**row, **recovery(row, dense[row["prompt"]])} for row in rows],
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def recovery(row: Row, dense: Row) -> dict[str, float | None]:
    """`recovery` = mean / dense mean; `recovery_above_chance` = (mean - chance) / (dense mean - chance).

    Both over the row's own tasks. A dense model at chance has nothing to recover: the second is None.
    """
    reference = mean(dense["tasks"][name]["main"] for name in row["tasks"])
    above = reference - row["chance"]
    return {
        "recovery": row["mean"] / reference if reference else None,
        "recovery_above_chance": (row["mean"] - row["chance"]) / above if above > 0 else None,
    }


def single(row: Row, recipe: Recipe, *, tuned: bool = False) -> dict[str, Any]:
    """`results.json` of one model evaluated alone, with an adapter on it where `tuned`: there is nothing it
    could have recovered from.
    """
    return {
        "rows": [{"stage": stage_of(recipe.model, adapter=tuned), "task_tuned": None, **row}],
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)
