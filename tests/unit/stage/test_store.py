"""The stages of a run: in its directory or in a store that runs share, known by their contents."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.checkpoint import read_json, write_json
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.recipe import load_recipe
from tailored_llama.stage import Stage, Store, is_complete_run, read_manifest, run_directory

RECIPE: Mapping[str, Any] = load_recipe({"model": "world", "tasks": ["world_boolq"], "seed": 7}).model_dump(
    mode="json"
)


def stage(runs: list[str] | None = None, **settings: Any) -> Stage:
    def produce(folder: Path) -> None:
        if runs is not None:
            runs.append("prune")
        (folder / "result.txt").write_text(json.dumps(settings))

    return Stage("prune", settings, lambda: {"model": "abc"}, produce, seed=1)


def test_runs_that_share_a_store_share_its_stages_wherever_it_is(tmp_path: Path) -> None:
    runs: list[str] = []
    store = tmp_path / "stages"
    for run in ("a", "b"):
        Store(tmp_path / run, store).complete("prune", stage(runs, ratio=0.5))
    assert len(runs) == 1
    assert os.readlink(tmp_path / "a" / "prune") == os.readlink(tmp_path / "b" / "prune")
    Store(tmp_path / "a", store).complete("prune", stage(runs, ratio=0.6))
    assert len(runs) == len(list(store.iterdir())) == 2
    assert read_manifest(tmp_path / "a" / "prune").settings == {"ratio": 0.6}
    shutil.copytree(store, tmp_path / "elsewhere")
    Store(tmp_path / "c", tmp_path / "elsewhere").complete("prune", stage(runs, ratio=0.5))
    assert len(runs) == 2


def test_a_run_of_its_own_leaves_the_store_of_others_alone(tmp_path: Path) -> None:
    runs: list[str] = []
    Store(tmp_path / "a", tmp_path / "stages").complete("prune", stage(runs, ratio=0.5))
    own = Store(tmp_path / "a")
    own.complete("prune", stage(runs, ratio=0.5))
    assert len(runs) == 1
    own.complete("prune", stage(runs, ratio=0.6))
    assert not (tmp_path / "a" / "prune").is_symlink()
    (shared,) = (tmp_path / "stages").iterdir()
    assert read_manifest(shared).settings == {"ratio": 0.5}


def test_stages_that_are_not_requested_any_more_are_cleared(tmp_path: Path) -> None:
    earlier = Store(tmp_path)
    for name in ("prune", "tune-a", "tune-b", "tune-c"):
        earlier.complete(name, stage())
    Store(tmp_path, owner="matrix").complete("cell-a", stage())
    (tmp_path / "tune-c" / "notes.txt").write_text("mine")
    (tmp_path / "gguf").mkdir()
    now = Store(tmp_path)
    now.complete("prune", stage())
    now.complete("tune-a", stage())
    now.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cell-a", "gguf", "prune", "tune-a", "tune-c",
    ]  # fmt: skip


def test_a_run_may_be_stopped_before_a_stage(tmp_path: Path) -> None:
    def changed() -> None:
        raise CheckpointError("the model changed")

    runs: list[str] = []
    with pytest.raises(CheckpointError, match="the model changed"):
        Store(tmp_path, check=changed).complete("prune", stage(runs))
    assert not runs


def test_a_run_grows_stage_by_stage_and_can_be_resumed(tmp_path: Path) -> None:
    out, runs = tmp_path / "run", list[str]()

    def interrupted() -> None:
        with run_directory(out, recipe=RECIPE):
            Store(out).complete("prune", stage(runs))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(path.name for path in out.iterdir()) == ["prune", "recipe.json"]
    with run_directory(out, recipe=RECIPE):
        Store(out).complete("prune", stage(runs))
        write_json(out / "results.json", {"rows": []})
    assert len(runs) == 1
    manifest = read_manifest(out)
    assert (manifest.stage, manifest.seed) == ("run", 7)
    assert manifest.outputs.keys() == {"recipe.json", "results.json"}
    assert read_json(out / "recipe.json") == RECIPE


def test_a_run_that_fails_at_once_leaves_nothing_and_touches_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), run_directory(tmp_path / "run", recipe=RECIPE):
        raise ValueError("bad")
    assert not any(tmp_path.iterdir())
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match=r"contains other files \(thesis.tex\)"),
        run_directory(tmp_path, recipe=RECIPE),
    ):
        pass
    (tmp_path / "thesis.tex").rename(tmp_path / "recipe.json")
    with (
        pytest.raises(OutputError, match="is not the recipe of a run"),
        run_directory(tmp_path, recipe=RECIPE),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]
    with (
        pytest.raises(OutputError, match="is a file"),
        run_directory(tmp_path / "recipe.json", recipe=RECIPE),
    ):
        pass


@pytest.mark.parametrize("lost", ["recipe.json", "manifest.json", "both"])
@pytest.mark.parametrize("damage", [None, "", "{", "[]"])
def test_a_run_with_a_damaged_recipe_or_manifest_is_still_a_run(
    tmp_path: Path, lost: str, damage: str | None
) -> None:
    out = tmp_path / "run"
    with run_directory(out, recipe=RECIPE):
        Store(out).complete("prune", stage())
    for name in ("recipe.json", "manifest.json") if lost == "both" else (lost,):
        (out / name).unlink()
        if damage is not None:
            (out / name).write_text(damage)
    with run_directory(out, recipe=RECIPE):
        pass
    assert read_json(out / "recipe.json") == RECIPE
    assert read_manifest(out).stage == "run"


def test_a_finished_run_is_known_by_contents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    facts: dict[str, Any] = {"settings": {"ratio": 0.5}, "inputs": {"model": "abc"}}
    with run_directory(tmp_path / "run", recipe=RECIPE, **facts) as out:
        assert out is not None
        Store(out, tmp_path / "stages").complete("prune", stage())
        write_json(out / "results.json", {"rows": []})
    assert is_complete_run(out, seed=7, **facts)
    assert not is_complete_run(out, seed=8, **facts)
    assert not is_complete_run(out, seed=7, settings={}, inputs=facts["inputs"])
    assert not is_complete_run(tmp_path / "none", seed=7, **facts)
    with caplog.at_level(logging.WARNING, logger="tailored_llama"):
        (out / "prune" / "result.txt").write_text("[]")
        assert not is_complete_run(out, seed=7, **facts)
    assert "prune: result.txt was changed; computing it again" in caplog.text
