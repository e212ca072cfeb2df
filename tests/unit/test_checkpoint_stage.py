"""Stage directories: whole or not there, never at the cost of what was there before."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.checkpoint import (
    completed,
    digest_directory,
    digest_file,
    read_json,
    read_manifest,
    run_directory,
    stage_directory,
    write_json,
)
from tailored_llama.errors import CheckpointError, OutputError

FACTS: dict[str, Any] = {"stage": "prune", "settings": {"ratio": 0.5}, "inputs": {"model": "abc"}, "seed": 1}


def finish(out: Path, text: str = "done", **changes: Any) -> None:
    with stage_directory(out, **{**FACTS, **changes}) as partial:
        assert partial.parent == out.parent.resolve()
        assert not (partial / "manifest.json").exists()
        (partial / "result.txt").write_text(text)
        (partial / "adapter").mkdir()
        (partial / "adapter" / "a.json").write_text("{}")


def stop_midway(out: Path, error: BaseException) -> None:
    with stage_directory(out, **FACTS) as partial:
        (partial / "half").write_text("written")
        raise error


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_finished_stage_has_a_manifest(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    finish(out, settings={"ratio": 0.5, "layers": (4, 30), "data": Path("some/dir")})
    manifest = read_manifest(out)
    assert manifest["settings"] == {"ratio": 0.5, "layers": [4, 30], "data": "some/dir"}
    assert manifest["outputs"] == {
        "result.txt": {"sha256": digest_file(out / "result.txt"), "bytes": 4},
        "adapter/a.json": {"sha256": digest_file(out / "adapter" / "a.json"), "bytes": 2},
    }
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
        finish(out, "earlier")
    kept = contents(tmp_path)
    with pytest.raises(type(error)):
        stop_midway(out, error)
    assert contents(tmp_path) == kept
    assert out.exists() == (before != "nothing")
    assert {path.name for path in tmp_path.iterdir()} <= {"out"}


def test_an_earlier_result_of_the_same_stage_is_replaced(tmp_path: Path) -> None:
    finish(tmp_path / "out", "one")
    finish(tmp_path / "out", "two", seed=2)
    assert (tmp_path / "out" / "result.txt").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_of_two_that_do_the_same_at_once_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, raced = Path.rename, []

    def overtaken(self: Path, target: Path) -> Path:
        if "partial" in self.name and not raced:
            raced.append(self)
            (tmp_path / "out").mkdir()
            for name in ("manifest.json", "result.txt"):
                (tmp_path / "out" / name).write_text("the other's")
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    finish(tmp_path / "out", "mine")
    assert (tmp_path / "out" / "result.txt").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_earlier_result_survives_a_failed_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(tmp_path / "out", "one")
    kept = contents(tmp_path)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise PermissionError(errno.EACCES, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match=r"cannot be replaced \(no\)"):
        finish(tmp_path / "out", "two")
    assert contents(tmp_path) == kept


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    finish(out)
    with pytest.raises(OutputError, match=r"holds a result of prune: name an empty or new directory"):
        finish(out, stage="tune")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other files \(notes.txt\): name an empty or new directory"):
        finish(out)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a", "b", "c"):
        (other / name).write_text("")
    with pytest.raises(OutputError, match=r"holds other files \(a, b, \.\.\.\)"):
        finish(other)
    with pytest.raises(OutputError, match="is a file"):
        finish(other / "a")
    with pytest.raises(OutputError, match=r"a cannot be made \("):
        finish(other / "a" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_full_disk_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the disk is full"), stage_directory(tmp_path / "out", **FACTS):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not any(tmp_path.iterdir())


def test_leftovers_of_killed_processes_are_cleared_and_of_living_ones_kept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive = tmp_path / f".out.partial-{gone.pid}", tmp_path / f".out.partial-{os.getppid()}"
    for left in (dead, alive):
        left.mkdir()
        (left / "half").write_text("")
    finish(tmp_path / "out")
    assert not dead.exists()
    assert alive.exists()


def test_completed_asks_for_equal_settings_inputs_seed_and_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not completed(out, **FACTS)
    finish(out, settings={"layers": (4, 30)})
    facts = {**FACTS, "settings": {"layers": [4, 30]}}
    assert completed(out, **facts)
    changes = {"stage": "tune", "settings": {}, "inputs": {"model": "abd"}, "seed": 2}
    assert not any(completed(out, **{**facts, key: value}) for key, value in changes.items())
    (out / "result.txt").write_text("longer than it was")
    assert not completed(out, **facts)
    (out / "result.txt").unlink()
    assert not completed(out, **facts)


def test_a_directory_without_a_manifest_is_no_stage(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
        read_manifest(tmp_path)


def test_a_run_grows_stage_by_stage_and_can_be_resumed(tmp_path: Path) -> None:
    out, settings = tmp_path / "run", {"model": "world", "seed": 7}

    def interrupted() -> None:
        with run_directory(out, settings=settings) as run:
            finish(run / "prune")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert completed(out / "prune", **FACTS)
    assert not (out / "manifest.json").exists()
    with run_directory(out, settings=settings) as run:
        assert completed(run / "prune", **FACTS)
        write_json(run / "results.json", {"rows": []})
    manifest = read_manifest(out)
    assert manifest["stage"] == "run"
    assert manifest["seed"] == 7
    assert manifest["outputs"].keys() == {"recipe.json", "results.json"}
    assert read_json(out / "recipe.json") == settings


def test_a_run_that_fails_at_once_leaves_nothing_and_touches_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), run_directory(tmp_path / "run", settings={}):
        raise ValueError("bad")
    assert not any(tmp_path.iterdir())
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match=r"holds other files \(thesis.tex\)"),
        run_directory(tmp_path, settings={}),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "Ünal"})
    assert path.read_text(encoding="utf-8") == '{\n  "name": "Ünal"\n}\n'
    with pytest.raises(TypeError):
        write_json(path, {"name": {1, 2}})
    assert read_json(path) == {"name": "Ünal"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="holds no JSON object"):
        read_json(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path / "none.json")


def test_the_digest_of_a_checkpoint_is_of_what_makes_the_model(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text(name)
    before = digest_directory(tmp_path)
    for name in ("README.md", "manifest.json", "plan.json", "LICENSE"):
        (tmp_path / name).write_text("beside it")
    assert digest_directory(tmp_path) == before
    for name in ("config.json", "model.safetensors", "tokenizer.json", "model-00001-of-00002.safetensors"):
        old = (tmp_path / name).read_text() if (tmp_path / name).exists() else None
        (tmp_path / name).write_text("changed")
        assert digest_directory(tmp_path) != before, name
        if old is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(old)
    assert digest_directory(tmp_path) == before


def test_the_digest_of_any_other_directory_is_of_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "train.jsonl").write_text(json.dumps({}))
    before = digest_directory(tmp_path)
    (tmp_path / "sub" / "train.jsonl").write_text(json.dumps({"a": 1}))
    assert digest_directory(tmp_path) != before
