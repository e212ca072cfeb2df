"""Files are written whole or not at all, and a disk without room is one line, whichever library finds it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tailored_llama import checkpoint
from tailored_llama.checkpoint import disk, size_text, write_json, write_lines, write_tensors, write_text
from tailored_llama.errors import OutputError, TailorError
from tailored_llama.stage import Stage, complete

WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "a"),
    "json": lambda path: write_json(path, {"a": 1}),
    "lines": lambda path: write_lines(path, [{"a": 1}]),
    "tensors": lambda path: write_tensors(path, {"a": torch.zeros(2000)}),
}
FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EROFS, "Read-only file system"),
    SafetensorError(
        'Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space left" })'
    ),
    Exception("No space left on device (os error 28)"),
    RuntimeError("cannot save: [Errno 28] No space left on device"),
]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (812, "812 B"), (999, "999 B"), (1000, "1.00 kB"), (4200, "4.20 kB"),
        (13_460_000, "13.5 MB"), (999_400, "999 kB"), (999_600, "1.00 MB"), (4.19e9, "4.19 GB"),
        (1.234e12, "1230 GB"),
    ],
)  # fmt: skip
def test_sizes_have_three_significant_digits(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_within_a_stage_is_one_line(tmp_path: Path, error: Exception) -> None:
    def produce(folder: Path) -> None:
        (folder / "half").write_text("")
        raise error

    with pytest.raises(OutputError) as caught:
        complete(Stage("prune", {}, dict, produce), tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'out'}: the ")
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_the_cause_of_another_error_is_found() -> None:
    wrapped = RuntimeError("the writer failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk.disk_errno(wrapped) == errno.ENOSPC
    assert disk.disk_errno(ValueError("28 rows")) is None
    assert disk.disk_errno(OSError(errno.ENOENT, "No such file")) is None
    assert disk.disk_errno(TailorError("os error 28")) is None


@pytest.mark.parametrize("writer", WRITERS)
def test_every_kind_of_file_is_whole_or_as_it_was(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    WRITERS[writer](path) if writer != "tensors" else (path.parent.mkdir(), WRITERS[writer](path))
    kept = path.read_bytes()
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OutputError, match=rf"{path}: the disk is full \([\d.]+ .?B free\); make room"):
            WRITERS[writer](path)
    assert path.read_bytes() == kept
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_room_is_told_in_sizes_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and Usage())
    with pytest.raises(OutputError, match=r"out: needs 4\.20 kB, 4\.10 kB are free; make room or name"):
        checkpoint.require_room(tmp_path / "out", 4200)
    checkpoint.require_room(tmp_path / "out", 4100)


class Usage:
    free = 4100


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory; name a file"):
        checkpoint.check_file(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"file cannot be created \("):
        checkpoint.check_file(tmp_path / "file" / "plan.json")
    checkpoint.check_file(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
