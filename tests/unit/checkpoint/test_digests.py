"""Each file is hashed once: in a process, and large ones once for all processes of a user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from tailored_llama import checkpoint
from tailored_llama.checkpoint import digests
from tailored_llama.stage import Stage, complete
from tests.support.pico import plain


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the files whose bytes were read for a digest. Every file counts as large."""
    monkeypatch.setattr(digests, "LARGE", 0)
    monkeypatch.setenv("TAILORED_LLAMA_CACHE", str(tmp_path / "cache"))
    read: list[str] = []
    hash_file = digests.hash_file

    def counted(path: Path) -> str:
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(digests, "hash_file", counted)
    return read


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(digests, "_values", {})


def test_a_file_is_hashed_once_over_processes(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("weights")
    digest = checkpoint.digest_file(path)
    assert checkpoint.digest_file(path) == digest
    another_process(monkeypatch)
    assert checkpoint.digest_file(path) == digest
    assert hashed == ["model.safetensors"]


@pytest.mark.parametrize("change", ["edit", "edit and set the time back", "replace", "copy", "in full"])
def test_what_may_have_changed_is_hashed_again(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("weights")
    before, stat = checkpoint.digest_file(path), path.stat()
    another_process(monkeypatch)
    if change == "in full":
        with checkpoint.in_full():
            assert checkpoint.digest_file(path) == before
        assert len(hashed) == 2
        return
    if change == "replace":
        path.rename(tmp_path / "old")
    if change == "copy":
        path = Path(shutil.copy2(path, tmp_path / "other"))
    else:
        path.write_text("wEights")
    if change == "edit and set the time back":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (checkpoint.digest_file(path) == before) == (change == "copy")
    assert len(hashed) == 2


def test_a_cache_that_cannot_be_read_or_written_only_costs_time(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("weights")
    digest = checkpoint.digest_file(path)
    for entry in (tmp_path / "cache").rglob("*.json"):
        entry.write_text("{")
    another_process(monkeypatch)
    assert checkpoint.digest_file(path) == digest
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("no directory")
    another_process(monkeypatch)
    assert checkpoint.digest_file(path) == digest
    assert len(hashed) == 3


def test_the_cache_does_not_grow_for_ever(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MOST", 4)
    for number in range(20):
        (tmp_path / f"{number}").write_text(str(number))
        checkpoint.digest_file(tmp_path / f"{number}")
    assert len(list((tmp_path / "cache").rglob("*.json"))) <= 4


def test_the_files_of_a_stage_are_hashed_once(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def produce(folder: Path) -> None:
        (folder / "model.safetensors").write_text("weights")

    made = Stage("prune", {}, dict, produce)
    complete(made, tmp_path / "out")
    checkpoint.digest_file(tmp_path / "out" / "model.safetensors")
    another_process(monkeypatch)
    complete(made, tmp_path / "out")
    assert hashed == ["model.safetensors"]


def test_values_are_read_once_for_each_contents(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = plain()
    model.save_pretrained(tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    read: list[str] = []
    tensor = checkpoint.Checkpoint.tensor

    def counted(self: checkpoint.Checkpoint, name: str) -> torch.Tensor:
        read.append(name)
        return tensor(self, name)

    monkeypatch.setattr(checkpoint.Checkpoint, "tensor", counted)
    places = (tmp_path / "model", tmp_path / "copy", tmp_path / "model")
    found = {checkpoint.weights_digest(checkpoint.open_weights(place)) for place in places}
    another_process(monkeypatch)
    found.add(checkpoint.weights_digest(checkpoint.open_weights(tmp_path / "model")))
    assert len(found) == 1
    assert len(read) == len(set(read)), "each tensor once"
    assert found == {checkpoint.weights_digest(checkpoint.open_weights(model))}
