"""What is found before the first stage of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.errors import RecipeError
from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.preflight import check

TASK = """
metric: acc
scored: test
max_length: 64
fields: [text, place]
options: "['box', 'bag']"
gold: options.index(place)
source: {files: .}
prompts:
"""


def task_in(folder: Path, prompt: str) -> str:
    rows = [{"text": f"Row {i}.", "place": ("box", "bag")[i % 2]} for i in range(12)]
    for split, part in (("train", rows[:8]), ("test", rows[8:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (folder / "where.yaml").write_text(f'{TASK}  {prompt}: {{context: "{{{{ text }}}} In the"}}\n')
    return str(folder / "where.yaml")


def test_a_run_scored_only_in_a_wording_that_no_task_has_is_refused(tmp_path: Path) -> None:
    recipe = {
        "model": "world", "tasks": [task_in(tmp_path, "plain")], "prune": {"ratio": 0.2, "criterion": "l2"},
        "tune": {"shots": 4}, "evaluate": {"prompt": "harness"},
    }  # fmt: skip
    with pytest.raises(RecipeError, match=r"evaluate\.prompt: no task has the wording 'harness'"):
        check(load_recipe(recipe))
    check(load_recipe(recipe | {"tasks": [task_in(tmp_path, "plain")], "evaluate": {"prompt": "same"}}))


def test_a_run_scored_in_the_stock_wording_of_one_of_its_tasks_is_not(tmp_path: Path) -> None:
    recipe = {
        "model": "world", "tasks": [task_in(tmp_path, "harness")], "prune": {"ratio": 0.2, "criterion": "l2"},
        "tune": {"shots": 4}, "evaluate": {"prompt": "harness"},
    }  # fmt: skip
    check(load_recipe(recipe))


OWN_OPTIONS = TASK.replace("['box', 'bag']", "['the box ' ~ text, 'the bag ' ~ text]").replace(
    "options.index(place)", "(place == 'bag') | int"
)


def test_batch_calibration_needs_a_task_with_the_same_answers_in_every_row(tmp_path: Path) -> None:
    recipe = {
        "model": "world", "tasks": [task_in(tmp_path, "plain")], "prune": {"ratio": 0.2, "criterion": "l2"},
        "tune": {"shots": 4}, "evaluate": {"batch_calibration": True},
    }  # fmt: skip
    check(load_recipe(recipe))
    prompts = '  plain: {context: "{{ text }}"}\n'
    (tmp_path / "one.yaml").write_text(OWN_OPTIONS + prompts)
    with pytest.raises(RecipeError, match=r"recipe: evaluate\.batch_calibration: .*one\.yaml"):
        check(load_recipe(recipe | {"tasks": [str(tmp_path / "one.yaml")]}))
    letters = '  letters: {context: "{{ text }}", answers: "letters[:2]"}\n'
    (tmp_path / "two.yaml").write_text(OWN_OPTIONS + prompts + letters)
    recipe["tasks"] = [str(tmp_path / "two.yaml")]
    check(load_recipe(recipe))  # the wording that is taken may be the one with letters
    with pytest.raises(RecipeError, match="batch_calibration"):
        check(load_recipe(recipe | {"tune": {"shots": 4, "prompt": "plain"}}))


@pytest.mark.parametrize(
    ("prompt", "scored", "fits"),
    [
        ("all", "cloze", True), ("all", "same", True), ("cloze", "cloze", True), ("paper", "cloze", False),
        ("auto", "cloze", False), ("all", "rhyme", False),
    ],
)  # fmt: skip
def test_a_run_is_scored_in_a_wording_that_it_tunes_in(prompt: str, scored: str, fits: bool) -> None:
    recipe = load_recipe(
        {
            "model": "world", "tasks": ["world_boolq"], "prune": {"ratio": 0.2, "criterion": "l2"},
            "tune": {"shots": 4, "prompt": prompt}, "evaluate": {"prompt": scored},
        }
    )  # fmt: skip
    if fits:
        check(recipe)
    else:
        with pytest.raises(RecipeError, match=f"not in '{scored}'; to tune in it"):
            check(recipe)


def test_a_learning_rate_above_one_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = {
        "model": "world", "tasks": [task_in(tmp_path, "plain")], "prune": {"ratio": 0.2, "criterion": "l2"},
        "tune": {"shots": 4, "learning_rate": 1.0}, "heal": {"learning_rate": 30},
    }  # fmt: skip
    check(load_recipe(recipe))
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("heal.learning_rate: 30 is above 1")


def test_data_for_a_name_that_the_run_does_not_have_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = {
        "model": "world", "tasks": [task_in(tmp_path, "plain")], "prune": {"ratio": 0.2, "criterion": "l2"},
        "tune": {"shots": 4}, "data": {"wehre": str(tmp_path), "piqa": "elsewhere", "ptb": "ptb.txt"},
    }  # fmt: skip
    check(load_recipe(recipe))
    (line,) = [record.message for record in caplog.records]
    assert "data: no task or text of this run is named 'wehre' (did you mean 'where'?)" in line
