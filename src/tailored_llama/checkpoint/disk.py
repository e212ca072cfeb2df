"""Atomic writing of files. A full disk and similar problems become a one-line error."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from tailored_llama.checkpoint.partial import clear_leftovers, final_path, partial_path, remove
from tailored_llama.errors import OutputError, TailorError
from tailored_llama.strict_json import to_json

PROBLEMS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EFBIG: "the file system does not take a file that large",
}
# safetensors, tokenizers and other Rust libraries report the errno only in the message.
NUMBER = re.compile(r"\bcode: (\d+)|\(os error (\d+)\)|\[Errno (\d+)\]")


def size_text(count: float) -> str:
    """A size in bytes with three significant digits: `812 B`, `4.20 kB`, `13.5 MB`, `4.19 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        value = count / scale
        if value >= 0.9995:
            rounded = float(f"{value:.2e}")
            return f"{rounded:.{max(0, 2 - math.floor(math.log10(rounded)))}f} {unit}"
    return f"{math.ceil(count)} B"


def free_bytes(path: str | Path) -> int:
    """Free bytes on the disk of `path`, which need not exist yet."""
    absolute = Path(path).absolute()
    ancestor = next(place for place in (absolute, *absolute.parents) if place.exists())
    return shutil.disk_usage(ancestor).free


def require_room(path: str | Path, needed: int) -> None:
    """OutputError if the disk of `path` has less than `needed` bytes free."""
    free = free_bytes(path)
    if needed > free:
        raise OutputError(
            f"{final_path(path)}: needs {size_text(needed)}, {size_text(free)} are free; "
            "make room or name another disk"
        )


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Convert errors of a full or read-only disk inside the block, from any library, into an OutputError."""
    try:
        yield
    except Exception as error:
        number = disk_errno(error)
        if number is None:
            raise
        raise OutputError(_message(path, number)) from None


def disk_errno(error: BaseException | None) -> int | None:
    """The errno of `error` if it is one of PROBLEMS, even if a library wrapped or quoted it; else None."""
    if error is None or isinstance(error, TailorError):
        return None
    numbers = [error.errno] if isinstance(error, OSError) else []
    numbers += [int(next(filter(None, chain))) for chain in NUMBER.findall(str(error))]
    number = next((number for number in numbers if number in PROBLEMS), None)
    return number or disk_errno(error.__cause__ or error.__context__)


def _message(path: str | Path, number: int) -> str:
    where = f"{final_path(path)}: {PROBLEMS[number]}"
    if number == errno.EROFS:
        return f"{where}; name another directory"
    return f"{where} ({size_text(free_bytes(path))} free); make room or name another disk"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The path of a partial file that replaces `path` when the block succeeds.

    A reader sees either the old file or the new one. Raises OutputError if the file cannot be written. If the
    block fails for any reason, the old file is unchanged.
    """
    path = Path(path)
    _require_no_device(path)
    partial = partial_path(path)
    try:
        make_directory(path.parent)
        clear_leftovers(path.parent, path.name)
        with writing(path):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (path, partial):
            raise
        raise OutputError(
            f"{final_path(path)} cannot be written ({error.strerror}); name another file"
        ) from None
    finally:
        remove(partial)


def make_directory(path: str | Path) -> None:
    """Create the directory `path` and its parents; OutputError if that fails."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be created ({error.strerror}); name another directory") from None


def _require_no_device(path: Path) -> None:
    """OutputError for /dev/null, /dev/stdout, a pipe: what takes their place would be a file like others."""
    link = os.readlink(path) if path.is_symlink() else ""
    if link.startswith("/proc/") or (path.exists() and not path.is_file() and not path.is_dir()):
        raise OutputError(f"{path} is a device or a pipe, which a file would replace; name a file")


def check_file(path: str | Path) -> None:
    """OutputError if `path` cannot be written; for a check before long work."""
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a directory; name a file")
    _require_no_device(path)
    make_directory(path.parent)
    partial = partial_path(path)
    try:
        with writing(path):
            partial.touch()
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); name another file") from None
    finally:
        remove(partial)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` in one step. Raises OutputError."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, in one step. Raises OutputError."""
    write_bytes(path, content.encode(errors="backslashreplace"))  # JSON text may contain lone surrogates


def write_json(path: str | Path, content: Any, *, indent: int | None = 2) -> None:
    """Write `content` to `path` in one step. Raises OutputError, also if it contains NaN or infinity."""
    try:
        text = to_json(content, indent=indent, ensure_ascii=False)
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from None
    write_text(path, text + "\n")


def write_lines(path: str | Path, rows: Iterable[Any]) -> None:
    """Write `rows` to `path` as JSON lines, in one step. Raises OutputError."""
    write_text(path, "".join(to_json(row) + "\n" for row in rows))


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `path` as safetensors. Raises OutputError."""
    from safetensors.torch import save_file

    with writing(path):
        save_file(dict(tensors), path)
