"""The baseline that always gives the commonest label of the shots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.results import TaskFigures
from tailored_llama.workflows.majority import majority
from tests.support.results import figures
from tests.support.tasks import CHOICE, write_split, written_task

PAIRS = CHOICE.replace("[text, label]", "[text, label, one, two]").replace("['yes', 'no']", "[one, two]")


def scores(**by_task: float) -> dict[str, TaskFigures]:
    return {name: TaskFigures.model_validate(figures(0.9, chance=value)) for name, value in by_task.items()}


def task_of(folder: Path, labels: dict[str, list[int]], text: str = CHOICE) -> str:
    for split, own in labels.items():
        rows: list[dict[str, Any]] = [
            {"text": f"{split[1]} owl {i}", "label": label, "one": f"x{i}", "two": f"y{i}"}
            for i, label in enumerate(own)
        ]
        write_split(folder, split, rows)
    (folder / "own.yaml").write_text(text)
    return str(folder / "own.yaml")


def found(path: str, shots: int, **evaluate: Any) -> Any:
    recipe = load_recipe({"model": "m", "tasks": [path], "tune": {"shots": shots}, "evaluate": evaluate})
    return majority(recipe, scores(own=0.5)).tasks["own"]


def test_the_commonest_label_of_the_shots(tmp_path: Path) -> None:
    path = task_of(tmp_path, {"train": [1, 1, 1, 0], "test": [1, 0, 0, 0, 0]})
    entry = found(path, 4)
    assert (entry.label, entry.main, entry.n) == ("no", 0.2, 5)
    assert found(path, 4, limit=2).main == 0.5


def test_of_equally_common_labels_the_one_that_scores_best(tmp_path: Path) -> None:
    path = task_of(tmp_path, {"train": [0, 1, 0, 1], "test": [1, 1, 1, 0]})
    entry = found(path, 4)
    assert (entry.label, entry.main) == ("no", 0.75)


def test_options_of_each_question_are_no_labels(tmp_path: Path) -> None:
    path = task_of(tmp_path, {"train": [1, 1, 1, 0], "test": [1, 1]}, PAIRS)
    entry = found(path, 4)
    assert (entry.label, entry.main) == (None, 0.5)


def test_a_written_answer_and_a_task_that_is_not_tuned_are_chance(tmp_path: Path) -> None:
    recipe = load_recipe({"model": "m", "tasks": [str(written_task(tmp_path))], "tune": {"shots": 4}})
    both = majority(recipe, scores(own=0.0, other=0.25))
    assert {name: (entry.label, entry.main) for name, entry in both.tasks.items()} == {
        "own": (None, 0.0), "other": (None, 0.25),
    }  # fmt: skip
    assert both.mean == 0.125
    assert both.mean_of(["other"]) == 0.25
    assert both.mean_of(["other", "third"]) is None


@pytest.mark.parametrize(("task", "label"), [("world_boolq", True), ("world_piqa", False)])
def test_of_the_world_only_yes_or_no_has_fixed_labels(task: str, label: bool) -> None:
    recipe = load_recipe({"model": "world", "tasks": [task], "tune": {"shots": 6}, "evaluate": {"limit": 40}})
    entry = majority(recipe, scores(**{task: 0.5})).tasks[task]
    assert (entry.label is not None) == label
    assert entry.n == 40
    assert entry.main >= 0.5
