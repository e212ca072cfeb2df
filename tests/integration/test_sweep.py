"""A small sweep over the bundled world: shared stages once, interrupted and resumed, in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tailored_llama import checkpoint, evaluate, run
from tailored_llama.cli import execute
from tailored_llama.errors import DivergedError, OutputError, TailorError
from tailored_llama.recipe import load_recipe
from tailored_llama.workflows import sweep

RECIPE: dict[str, Any] = {
    "model": "world",
    "tasks": ["world_boolq"],
    "prune": {"criterion": "l2", "ratio": 0.2},
    "tune": {"shots": 6, "epochs": 1, "batch_size": 4, "prompt": "paper", "precision": "fp32"},
    "evaluate": {"limit": 12},
    "sweep": {"seed": [1, 2], "tune.loss": ["answer", "choice"]},
}


def test_a_sweep_is_resumed_and_shares_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, done = tmp_path / "sweep", []
    tailor = sweep.tailor

    def stopped(recipe: Any, *more: Any, **named: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(recipe)
        if recipe.seed == 1 and recipe.tune.loss == {"choice": 1.0}:
            raise DivergedError("tuning stopped at step 1: the loss is nan")
        return tailor(recipe, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "tailor", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(RECIPE, out)
    part = json.loads((out / "sweep.json").read_text())
    assert [cell["finished"] for cell in part["cells"]] == [True, False, False, False]
    assert list(part["failed"].values()) == ["tuning stopped at step 1: the loss is nan"]

    written = {path.name: path.stat().st_mtime_ns for path in (out / "stages").iterdir()}
    document = run(RECIPE, out)
    assert document["failed"] == {}
    assert all(cell["finished"] for cell in document["cells"])
    stages = sorted(path.name.rpartition("-")[0] for path in (out / "stages").iterdir())
    assert stages.count("evaluate-dense-same") == 1, "the dense rows of every seed are the same"
    assert stages.count("prune") == 2, "one a seed"
    assert stages.count("evaluate-pruned-same") == 1, "by l2 both seeds cut the same units"
    assert stages.count("tune-world_boolq") == stages.count("tune-dense-world_boolq") == 4
    for name, moment in written.items():
        assert (out / "stages" / name).stat().st_mtime_ns == moment, f"{name} was computed again"
    assert [entry["seeds"] for entry in document["settings"]] == [[1, 2], [1, 2]]
    assert "<html" in (out / "report.html").read_text()

    cell = out / "cells" / "loss=choice,seed=1"
    assert (cell / "prune" / "plan.json").is_file()
    right = json.loads((cell / "evaluate-tuned-same-world_boolq" / "right.json").read_text())
    rows = json.loads((cell / "results.json").read_text())["rows"]
    tuned = next(row for row in rows if row["stage"] == "tuned")["tasks"]["world_boolq"]
    assert len(right["world_boolq"]) == tuned["n"] == 12
    assert sum(right["world_boolq"]) / 12 == pytest.approx(tuned["main"])
    before = (out / "sweep.json").read_text()
    run(RECIPE, out)
    assert (out / "sweep.json").read_text() == before
    assert execute(["report", str(cell), "--out", str(tmp_path / "cell.html")]) == 0


def test_stages_of_another_sweep_are_used_again(tmp_path: Path) -> None:
    recipe = {**RECIPE, "sweep": {"seed": [1], "dense_tuned": False}}
    first = run(recipe, tmp_path / "one")
    assert [*first["settings"][0]["stages"]] == ["dense", "pruned", "tuned"]
    shutil.copytree(tmp_path / "one" / "stages", tmp_path / "two" / "stages")
    stages = [path for path in (tmp_path / "two" / "stages").iterdir() if "evaluate" not in path.name]
    before = [path.stat().st_mtime_ns for path in stages]
    second = run(recipe, tmp_path / "two")
    assert second["settings"] == first["settings"]
    assert len(stages) == 2
    assert [path.stat().st_mtime_ns for path in stages] == before, "the cut and the tuning"


def test_only_what_these_settings_and_files_made_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(checkpoint.resolve("world"), tmp_path / "model")
    recipe = {**RECIPE, "model": str(model), "sweep": {"seed": [1, 2], "dense_tuned": False}}
    out = tmp_path / "out"
    before = run(recipe, out)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "tailor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run({**recipe, "prune": {"criterion": "l2", "ratio": 0.6}}, out)
    part = json.loads((out / "sweep.json").read_text())
    assert part["settings"] == []
    assert not any(cell["finished"] for cell in part["cells"])
    # Other questions: the cells that have answered others are not put beside those that answer these.
    again = run({**recipe, "evaluate": {"limit": 20}}, out)
    (entry,) = again["settings"]
    assert entry["seeds"] == [1, 2]

    file = model / "model.safetensors"
    save_file({name: value.flip(-1) for name, value in load_file(file).items()}, file)
    changed = run(recipe, out)
    (old,), (new,) = before["settings"], changed["settings"]
    assert new["stages"]["dense"]["mean"] != old["stages"]["dense"]["mean"]
    dense = new["stages"]["dense"]
    assert dense["mean"]["value"] == pytest.approx(dense["tasks"]["world_boolq"])
    rows = json.loads((out / "cells" / "seed=1" / "results.json").read_text())["rows"]
    measured = evaluate(model, tasks=["world_boolq"], prompt="paper", limit=12)
    assert rows[0]["tasks"]["world_boolq"] == measured["tasks"]["world_boolq"].to_json()


def test_where_every_cell_diverges_the_sweep_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def astray(*_: Any, **__: Any) -> None:
        raise DivergedError("tuning stopped at step 1: the loss is nan")

    monkeypatch.setattr(sweep, "tailor", astray)
    with pytest.raises(DivergedError, match="all cells failed; the first error: tuning stopped"):
        run(RECIPE, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune.loss": "choice", "tasks": ["world_tell"]}, "choice ranks choices"),
        ({"tune.early_stop": {"share": 0.99}}, "leaves none to train on"),
        ({"tune.replay": {"source": "nofile.txt"}}, "tune.replay.source: nofile.txt does not exist"),
        ({"tune.replay": {"source": "task"}}, "general text cannot be rows of tasks"),
        ({"evaluate.perplexity": ["nofile.txt"]}, "nofile.txt is not readable text"),
        ({"evaluate.perplexity": ["wikitext"]}, "did you mean 'wikitext2'"),
        ({"prune.calibration.source": "wrld"}, "unknown source 'wrld'; name one of c4, world, task"),
        ({"prune.layers": [0, 99]}, "prune.layers: .* is outside the model"),
        ({"prune.criterion": "block_influence"}, "scores whole layers only"),
        ({"prune.ratio": 0.99, "prune.floor": 0.5}, "out of reach"),
        ({"model": "nowhere/"}, "nowhere"),
    ],
)
def test_what_would_stop_a_later_stage_is_said_before_the_first(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    recipe = {key: value for key, value in RECIPE.items() if key != "sweep"}
    for requested in (recipe, {**recipe, "sweep": {"seed": [1]}}):
        with pytest.raises(TailorError, match=message):
            run(load_recipe(requested, [*changes.items()]), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prune.calibration.source": "nofile.txt"}, r"nofile\.txt does not exist"),
        ({"prune.layers": [0, 99]}, "outside the model"),
    ],
)
def test_every_variant_is_checked_before_the_first_cell(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    # A right one on either side: where settings are taken for the same, the first or the last stands for all.
    variants = {"first": {}, "wrong": wrong, "last": {"tune.epochs": 1}}
    with pytest.raises(TailorError, match=message):
        run({**RECIPE, "sweep": {"seed": [1], "variants": variants}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="contains files that are not a sweep's"):
        run(RECIPE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
