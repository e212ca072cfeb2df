"""The frame of a stage: a directory appears whole, is reused by contents, and costs nobody their files."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.stage import (
    Stage,
    complete,
    complete_at,
    read_manifest,
)


def stage(text: str = "done", runs: list[str] | None = None, **changes: Any) -> Stage:
    """A stage that writes `text`, and notes in `runs` that it did."""

    def produce(folder: Path) -> None:
        if runs is not None:
            runs.append(text)
        (folder / "result.txt").write_text(text)
        (folder / "adapter").mkdir()
        (folder / "adapter" / "a.json").write_text("{}")

    made = Stage("prune", {"ratio": 0.5}, lambda: {"model": "abc"}, produce, seed=1)
    return replace(made, **changes)


def failing(error: BaseException) -> Stage:
    def produce(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise error

    return stage(produce=produce)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_finished_stage_has_a_manifest(tmp_path: Path) -> None:
    out = complete(stage(settings={"ratio": 0.5, "layers": (4, 30)}), tmp_path / "deep" / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"] == {"ratio": 0.5, "layers": [4, 30]}
    assert {name: facts["bytes"] for name, facts in manifest["outputs"].items()} == {
        "result.txt": 4, "adapter/a.json": 2,
    }  # fmt: skip
    assert {key: manifest[key] for key in ("stage", "inputs", "seed")} == {
        "stage": "prune", "inputs": {"model": "abc"}, "seed": 1,
    }  # fmt: skip
    assert manifest["versions"].keys() >= {"python", "tailored-llama", "torch", "transformers"}
    assert manifest["seconds"] >= 0
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("before", ["nothing", "an empty directory", "an earlier result"])
def test_a_stage_that_fails_changes_nothing(tmp_path: Path, error: BaseException, before: str) -> None:
    out = tmp_path / "out"
    if before == "an empty directory":
        out.mkdir()
    if before == "an earlier result":
        complete(stage("earlier", seed=2), out)
    kept = contents(tmp_path)
    with pytest.raises(type(error)):
        complete(failing(error), out)
    assert contents(tmp_path) == kept
    assert out.exists() == (before != "nothing")
    assert {path.name for path in tmp_path.iterdir()} <= {"out"}


def test_a_result_is_reused_by_settings_inputs_and_seed(tmp_path: Path) -> None:
    runs: list[str] = []
    out = tmp_path / "out"
    made = stage(runs=runs, settings={"layers": (4, 30)})
    for same in (made, replace(made, settings={"layers": [4, 30]})):
        assert complete(same, out) == out
    assert runs == ["done"]
    for change in (
        {"settings": {"layers": [4, 31]}}, {"inputs": lambda: {"model": "abd"}}, {"seed": 2}, {"seed": None},
    ):  # fmt: skip
        before = len(runs)
        complete(replace(made, **change), out)  # type: ignore[arg-type]
        assert len(runs) == before + 1
        complete(made, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_has_no_digest_is_never_reused(tmp_path: Path) -> None:
    runs: list[str] = []
    for _ in range(2):
        complete(stage(runs=runs, reusable=False), tmp_path / "out")
    assert len(runs) == 2


def test_a_moved_or_copied_result_is_complete(tmp_path: Path) -> None:
    runs: list[str] = []
    complete(stage(runs=runs), tmp_path / "a" / "out")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").rename(tmp_path / "c")
    for place in ("b", "c"):
        complete(stage(runs=runs), tmp_path / place / "out")
    assert len(runs) == 1


@pytest.mark.parametrize("change", ["flip", "shorten", "remove", "settings", "outputs"])
def test_a_damaged_result_is_computed_again(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []
    out = complete(stage(runs=runs), tmp_path / "out")
    kept = {name: content for name, content in contents(out).items() if name != "manifest.json"}
    manifest = json.loads((out / "manifest.json").read_text())
    if change == "flip":
        (out / "result.txt").write_text("dona")
    elif change == "shorten":
        (out / "result.txt").write_text("do")
    elif change == "remove":
        (out / "adapter" / "a.json").unlink()
    elif change == "settings":
        (out / "manifest.json").write_text(json.dumps(manifest | {"settings": {"ratio": 0.6}}))
    else:
        manifest["outputs"]["result.txt"]["sha256"] = "0" * 64
        (out / "manifest.json").write_text(json.dumps(manifest))
    with caplog.at_level(logging.WARNING, logger="tailored_llama"):
        complete(stage(runs=runs), out)
    assert len(runs) == 2
    assert "computing it again" in caplog.text
    assert {name: content for name, content in contents(out).items() if name != "manifest.json"} == kept


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"stage": 3}', '{"stage": "prune", "outputs": []}'])
def test_a_damaged_manifest_is_replaced_in_a_run_and_refused_elsewhere(
    tmp_path: Path, text: str | None
) -> None:
    runs: list[str] = []
    out = complete(stage(runs=runs), tmp_path / "out")
    if text is None:
        (out / "manifest.json").unlink()
    else:
        (out / "manifest.json").write_text(text)
    kept = contents(tmp_path)
    problem = r"contains other files \(adapter, result.txt\)" if text is None else "manifest.json is damaged"
    with pytest.raises(OutputError, match=problem):
        complete(stage(runs=runs), out)
    assert contents(tmp_path) == kept
    complete_at(stage(runs=runs), out, managed=True)
    assert len(runs) == 2
    assert read_manifest(out).stage == "prune"


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    out = complete(stage(), tmp_path / "out")
    with pytest.raises(OutputError, match=r"contains a result of prune: name an empty or new directory"):
        complete(stage(name="tune"), out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(
        OutputError, match=r"contains other files \(notes.txt\): name an empty or new directory"
    ):
        complete_at(stage(seed=2), out, managed=True)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a", "b", "c"):
        (other / name).write_text("")
    with pytest.raises(OutputError, match=r"contains other files \(a, b, \.\.\.\)"):
        complete(stage(), other)
    with pytest.raises(OutputError, match="is a file"):
        complete(stage(), other / "a")
    with pytest.raises(OutputError, match=r"a cannot be created \("):
        complete(stage(), other / "a" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_an_input_that_changes_meanwhile_ends_the_stage(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_text("one")

    def produce(folder: Path) -> None:
        (folder / "copy").write_text(model.read_text())
        model.write_text("two")

    changing = stage(produce=produce, inputs=lambda: {"model": model.read_text()})
    with pytest.raises(CheckpointError, match=r"prune: its input changed while it was read \(model\)"):
        complete(changing, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_earlier_result_survives_a_failed_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(stage("one"), tmp_path / "out")
    kept = contents(tmp_path)
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if ".partial-" in self.name and target.name == "out":
            raise PermissionError(errno.EACCES, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OutputError, match=r"cannot be replaced \(no\)"):
        complete(stage("two", seed=2), tmp_path / "out")
    assert contents(tmp_path) == kept


def test_where_locks_do_not_reach_the_first_of_two_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, raced = Path.rename, []

    def overtaken(self: Path, target: Path) -> Path:
        if ".partial-" in self.name and target.name == "out" and not raced:
            raced.append(self)
            (tmp_path / "out").mkdir()
            for name in ("manifest.json", "result.txt", "adapter"):
                (tmp_path / "out" / name).write_text("done")
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    complete(stage("mine"), tmp_path / "out")
    assert (tmp_path / "out" / "result.txt").read_text() == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def slowly(out: Path, seconds: float) -> multiprocessing.context.ForkProcess:
    """Another process that computes the stage into `out`, once it has begun."""
    context = multiprocessing.get_context("fork")
    begun = context.Event()

    def produce(folder: Path) -> None:
        (folder / "result.txt").write_text("done")
        begun.set()
        time.sleep(seconds)

    other = context.Process(target=lambda: complete(stage(produce=produce), out))
    other.start()
    assert begun.wait(30)
    return other


def test_the_second_of_two_processes_waits_and_reuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []
    out = tmp_path / "out"
    other = slowly(out, 0.5)
    with caplog.at_level(logging.INFO, logger="tailored_llama"):
        complete(stage(runs=runs), out)
    other.join()
    assert runs == []
    waiting = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert len(waiting) == 1
    assert f"process {other.pid} on host " in waiting[0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_process_leaves_nothing_that_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = slowly(out, 60)
    other.kill()
    other.join()
    assert any(".partial-" in path.name for path in tmp_path.iterdir())
    complete(stage(), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
