"""Runs beside the usual: a task by its path, tasks scored but not tuned, lm_eval's wording alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import run
from tailored_llama.errors import RecipeError

QUICK: dict[str, Any] = {
    "model": "world",
    "prune": {"ratio": 0.2, "criterion": "l2"},
    "tune": {"shots": 4, "epochs": 1, "batch_size": 4, "precision": "fp32"},
    "evaluate": {"limit": 4},
}
TASK = """
name: where
about: Where is the cup?
metric: acc
scored: test
max_length: 64
fields: [text, place]
options: "['box', 'bag']"
gold: options.index(place)
source: {files: .}
prompts:
  plain: {context: "{{ text }} The cup is in the"}
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "where.yaml").write_text(TASK)
    for split, words in (
        ("train", ("Finn", "Ella", "Ben", "Cleo")),
        ("test", ("Jack", "Dora", "Gwen", "Tom")),
    ):
        rows = [
            {"text": f"{name} puts it there.", "place": ("box", "bag")[i % 2]} for i, name in enumerate(words)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "where.yaml")


def stages(results: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(row["stage"], row["prompt"], row["task_tuned"]) for row in results["rows"]]


def test_a_task_by_its_path_is_named_by_itself_and_has_no_stock_wording(own: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    results = run({**QUICK, "tasks": [own]}, out)
    assert stages(results) == [
        ("dense", "same", None), ("pruned", "same", None),
        ("dense_tuned", "same", "where"), ("tuned", "same", "where"),
    ]  # fmt: skip
    assert (out / "tune-where" / "adapter").is_dir()
    assert not list(out.glob("export-*")), "no merged model is written that no format asks for"


def test_a_task_that_is_not_tuned_is_scored_beside_the_one_that_is(tmp_path: Path) -> None:
    both = ["world_boolq", "world_piqa"]
    results = run(
        {**QUICK, "tasks": ["world_piqa"], "evaluate": {"limit": 4, "tasks": both, "prompt": "harness"}},
        tmp_path / "out",
    )
    assert stages(results) == [
        ("dense", "harness", None), ("pruned", "harness", None),
        ("dense_tuned", "harness", "world_piqa"), ("tuned", "harness", "world_piqa"),
    ]  # fmt: skip
    assert all(list(row["tasks"]) == both for row in results["rows"])


def test_a_run_in_a_wording_that_was_not_tuned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tune\.prompt"):
        run({**QUICK, "tasks": ["world_piqa"], "evaluate": {"prompt": "cloze"}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_wordings_are_tuned_and_labels_calibrated_where_a_task_has_them(tmp_path: Path) -> None:
    tasks = ["world_boolq", "world_piqa"]
    recipe = {
        **QUICK, "tasks": tasks, "tune": {**QUICK["tune"], "prompt": "all", "epochs": 2},
        "evaluate": {"limit": 12, "batch_calibration": True, "prompt": "cloze"},
    }  # fmt: skip
    out = tmp_path / "out"
    results = run(recipe, out)
    assert {row["prompt"] for row in results["rows"]} == {"cloze"}
    for row in results["rows"]:
        for name, figures in row["tasks"].items():
            assert figures["prompt"] == "cloze"
            assert (figures["uncalibrated"] is not None) == (name == "world_boolq"), row["stage"]
    shots = json.loads((out / "tune-world_piqa" / "shots.json").read_text())
    assert len(shots["wordings"]) == 5
    majority = json.loads((out / "results.json").read_text())["majority"]
    assert majority["tasks"]["world_piqa"]["label"] is None
    assert majority["tasks"]["world_boolq"]["label"] in ("yes", "no")
    assert "Batch calibration by the scored questions: boolq." in (out / "report.html").read_text()
    before = (out / "results.json").read_text()
    run(recipe, out)
    assert (out / "results.json").read_text() == before
