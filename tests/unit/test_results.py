"""Rows put side by side: recovery is relative to the dense model on the same tasks and wording."""

from __future__ import annotations

from typing import Any

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.results import assemble, combine, recovery

RECIPE = load_recipe({"model": "m", "tasks": ["a", "b"]})


def row(stage: str, prompt: str = "same", **accuracies: float) -> dict[str, Any]:
    tasks = {name: {"main": value, "chance": 0.5} for name, value in accuracies.items()}
    return {
        "stage": stage, "task_tuned": None, "prompt": prompt, "tasks": tasks,
        "mean": sum(accuracies.values()) / len(accuracies), "chance": 0.5,
        "perplexity": {"text": {"perplexity": 10.0 * accuracies.get("a", 1)}},
        "seconds": 1.0, "peak_memory": 5,
    }  # fmt: skip


def test_recovery_compares_the_same_tasks_only() -> None:
    dense = row("dense", a=0.9, b=0.7)
    assert recovery(row("tuned", b=0.63), dense) == {
        "recovery": pytest.approx(0.9),
        "recovery_above_chance": pytest.approx(0.13 / 0.2),
    }


def test_recovery_above_a_dense_model_at_chance_is_undefined() -> None:
    assert recovery(row("tuned", a=0.6), row("dense", a=0.5))["recovery_above_chance"] is None


def test_wordings_are_never_mixed() -> None:
    rows = [row("dense", a=0.8), row("dense", "harness", a=0.6), row("pruned", "harness", a=0.3)]
    assert assemble(rows, RECIPE)["rows"][2]["recovery"] == pytest.approx(0.5)


def test_combined_row_takes_each_task_from_its_own_adapter() -> None:
    own = [row("tuned", a=0.8), row("tuned", b=0.6)]
    own[0]["task_tuned"], own[1]["task_tuned"] = "a", "b"
    both = combine(own)
    assert both["task_tuned"] is None
    assert both["mean"] == pytest.approx(0.7)
    assert (both["seconds"], both["peak_memory"]) == (2.0, 5)
    assert both["perplexity"]["text"]["perplexity"] == pytest.approx((8 + 10) / 2)
