"""Runs known by their contents: moved, copied, damaged, changed in the middle, shared by two processes."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tailored_llama import checkpoint, run
from tailored_llama.checkpoint import digests
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.stage import Stage, Store
from tests.support.runs import make_inputs, recipe

Made = dict[Path, int]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[tuple[str, int]], list[str]]:
    """The folder of a finished run `run` of the inputs `in`; how often each file was hashed; values read."""
    folder = tmp_path_factory.mktemp("contents")
    make_inputs(folder / "in")
    hashed: Counter[tuple[str, int]] = Counter()
    read: list[str] = []
    hash_file, compute = digests.hash_file, checkpoint.weights._values_digest  # type: ignore[attr-defined]

    def counted(path: Path) -> str:
        hashed[str(path), path.stat().st_ino] += 1
        return hash_file(path)

    def counted_values(weights: checkpoint.Weights) -> str:
        read.append(compute(weights))
        return read[-1]

    with pytest.MonkeyPatch.context() as patch:
        # Other tests run on the same model: nothing that they read is known here.
        patch.setenv("TAILORED_LLAMA_CACHE", str(folder / "cache"))
        patch.setattr(digests, "_known", {})
        patch.setattr(digests, "_values", {})
        patch.setattr(digests, "hash_file", counted)
        patch.setattr("tailored_llama.checkpoint.weights._values_digest", counted_values)
        run(recipe(folder / "in"), folder / "run")
    return folder, hashed, read


@pytest.fixture
def copied(done: tuple[Path, Any, Any], tmp_path: Path) -> Path:
    """A copy of run and inputs, for tests that change them."""
    shutil.copytree(done[0], tmp_path, dirs_exist_ok=True, symlinks=True)
    return tmp_path


def made(out: Path) -> Made:
    """When each stage was finished."""
    return {path.parent.relative_to(out): path.stat().st_mtime_ns for path in out.glob("*/manifest.json")}


def rows(out: Path) -> Any:
    """The rows of a run without times, and without the names of texts, which are their places."""
    found = json.loads((out / "results.json").read_text())["rows"]
    return [
        {**row, "perplexity": [*row["perplexity"].values()], "seconds": 0, "peak_memory": 0} for row in found
    ]


def test_a_run_of_three_tasks_hashes_each_file_at_most_once(
    done: tuple[Path, Counter[tuple[str, int]], list[str]],
) -> None:
    folder, hashed, read = done
    assert max(hashed.values()) == 1, [name for name, count in hashed.items() if count > 1]
    assert any(name == str(folder / "in" / "model" / "model.safetensors") for name, _ in hashed)
    assert len(read) == len(set(read)), "the values of each model are read once"
    assert len(read) == 3, "of the unpruned, the pruned and the healed model, which adapters name"


def test_a_moved_or_copied_run_whose_inputs_moved_is_complete(
    copied: Path, done: tuple[Path, Any, Any]
) -> None:
    before = made(copied / "run")
    (copied / "in").rename(copied / "elsewhere")
    (copied / "run").rename(copied / "moved")
    run(recipe(copied / "elsewhere"), copied / "moved")
    assert made(copied / "moved") == before
    assert rows(copied / "moved") == rows(done[0] / "run")
    text = (copied / "moved" / "results.json").read_text()
    assert str(copied / "elsewhere" / "story.txt") in text
    assert str(done[0]) not in text


@pytest.mark.parametrize(
    ("victim", "again"),
    [
        ("heal/model.safetensors", {"heal"}),
        ("tune-mood/adapter/adapter_config.json", {"tune-mood"}),
        ("evaluate-tuned-same-mood/results.json", {"evaluate-tuned-same-mood"}),
        ("prune/manifest.json", {"prune"}),
        ("recipe.json", set()),
    ],
)
def test_what_was_changed_at_the_same_size_is_computed_again_and_nothing_else(
    copied: Path, victim: str, again: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    before, kept, expected = (
        made(copied / "run"),
        (copied / "run" / victim).read_bytes(),
        rows(copied / "run"),
    )
    changed = bytearray(kept)
    changed[len(kept) // 2] ^= 1
    (copied / "run" / victim).write_bytes(changed)
    with caplog.at_level(logging.WARNING, logger="tailored_llama"):
        run(recipe(copied / "in"), copied / "run")
    after = made(copied / "run")
    assert {path.name for path in after if after[path] != before.get(path)} == again
    assert ("computing it again" in caplog.text) == bool(again)
    assert rows(copied / "run") == expected
    if victim.endswith((".safetensors", "config.json")):
        assert (copied / "run" / victim).read_bytes() == kept


def test_a_change_that_keeps_size_and_times_is_found_when_every_file_is_read(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "LARGE", 0)
    facts = digests._facts
    # As where a disk goes bad: the bytes change, and no time does.
    monkeypatch.setattr(digests, "_facts", lambda path: [facts(path)[0], 0, 0, 0])
    monkeypatch.setattr(digests, "_known", {})
    run(recipe(copied / "in"), copied / "run")
    before, victim = made(copied / "run"), copied / "run" / "heal" / "model.safetensors"
    changed = bytearray(victim.read_bytes())
    changed[-1] ^= 1
    victim.write_bytes(changed)
    monkeypatch.setattr(digests, "_known", {})  # as in another process
    run(recipe(copied / "in"), copied / "run")
    assert made(copied / "run") == before
    monkeypatch.setattr(digests, "_known", {})
    run(recipe(copied / "in"), copied / "run", verify=True)
    after = made(copied / "run")
    assert {path.name for path in after if after[path] != before[path]} == {"heal"}


@pytest.mark.parametrize("name", ["model/model.safetensors", "mood/rows/test.jsonl", "story.txt"])
def test_an_input_that_is_replaced_in_the_middle_ends_the_run(
    copied: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, victim = Store.complete, copied / "in" / name

    def replaced(self: Store, called: str, stage: Stage) -> Path:
        if called.startswith("evaluate-pruned"):
            victim.write_bytes(victim.read_bytes()[:-1] + b"~")
        return complete(self, called, stage)

    monkeypatch.setattr(Store, "complete", replaced)
    with pytest.raises(
        CheckpointError, match=r"inputs of the run changed while it ran \((model|data mood|.*)\)"
    ):
        run(recipe(copied / "in"), copied / "run")


def test_stages_that_the_recipe_does_not_request_any_more_are_cleared(copied: Path) -> None:
    (copied / "run" / "notes").mkdir()
    (copied / "run" / "notes" / "a.txt").write_text("mine")
    requested = recipe(copied / "in", export={"formats": []})
    run({**requested, "tasks": requested["tasks"][:1]}, copied / "run")
    left = {path.name for path in (copied / "run").iterdir() if path.is_dir()}
    assert not [name for name in left if "weather" in name or "export" in name]
    assert {"notes", "prune", "tune-mood"} <= left


def test_the_second_of_two_processes_waits_and_reuses(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(copied / "run" / "tune-mood")
    context = multiprocessing.get_context("fork")
    begun = context.Event()

    def other() -> None:
        complete = Store.complete

        def record(self: Store, called: str, stage: Stage) -> Path:
            begun.set()
            return complete(self, called, stage)

        Store.complete = record  # type: ignore[method-assign]  # of the child process
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
        run(recipe(copied / "in"), copied / "run")

    process = context.Process(target=other)
    process.start()
    assert begun.wait(60)
    with caplog.at_level(logging.INFO, logger="tailored_llama"):
        run(recipe(copied / "in"), copied / "run")
    process.join()
    assert process.exitcode == 0
    waiting = [r.getMessage() for r in caplog.records if "waiting until it is done" in r.getMessage()]
    assert len(waiting) == 1
    assert f"process {process.pid} on host" in waiting[0]
    assert sum("tune mood" in r.getMessage() for r in caplog.records) == 0
    assert not list((copied / "run").glob(".*"))


def test_a_directory_of_something_else_is_refused(copied: Path) -> None:
    for name in ("recipe.json", "manifest.json"):
        (copied / "run" / name).unlink()
    for path in (copied / "run").glob("*/manifest.json"):
        path.unlink()
    with pytest.raises(OutputError, match="contains other files"):
        run(recipe(copied / "in"), copied / "run")
