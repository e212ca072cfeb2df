"""Files and directories that are being written: their names, and what killed processes leave of them.

A partial file is called `.NAME.partial-HOST-PID-RANDOM`; what a finished one replaces is moved aside as
`.NAME.replaced-HOST-PID-RANDOM` for a moment. Host, process and random part together name one writer, on a
disk that several hosts share too.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

Kind = Literal["partial", "replaced"]
PATTERN = re.compile(
    r"\.(?P<name>.+)\.(?P<kind>partial|replaced)-(?P<host>.+)-(?P<pid>\d+)-(?P<random>[0-9a-f]{8})"
)
FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of Linux's first PID namespace. Containers have others, and count their processes anew."""
log = logging.getLogger(__name__)


def partial_path(path: Path, kind: Kind = "partial") -> Path:
    """A name beside `path` that no other process uses, on this host or another."""
    return path.with_name(f".{path.name}.{kind}-{host()}-{os.getpid()}-{secrets.token_hex(4)}")


def is_leftover(path: Path) -> bool:
    """Whether `path` is named like a partial file or directory of ours."""
    return PATTERN.fullmatch(path.name) is not None


def final_path(path: str | Path) -> Path:
    """`path` as it will be called: with the name that each partial directory in it stands for."""
    parts = [found["name"] if (found := PATTERN.fullmatch(part)) else part for part in Path(path).parts]
    return Path(*parts)


def clear_leftovers(directory: Path, name: str | None = None) -> None:
    """Remove what processes of this host that are gone left in `directory`, of the file `name` or of all.

    A result that was moved aside goes back where nothing took its place. What another host may be writing,
    and what a running process writes, stays.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.glob(".*")):
        found = PATTERN.fullmatch(path.name)
        if found is None or name not in (None, found["name"]):
            continue
        if found["host"] != host():
            log.info("%s was left by host %s; delete it if no process there writes it", path, found["host"])
        elif not _running(int(found["pid"]), path):
            original = path.with_name(found["name"])
            if found["kind"] == "replaced" and not original.exists():
                with suppress(OSError):
                    path.rename(original)
            else:
                log.info("removing %s, left by a process that was killed", path)
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory tree, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def host() -> str:
    """The name of this host, and of the container where processes are counted anew."""
    name = re.sub(r"[^\w.-]", "_", socket.gethostname())[:60] or "localhost"
    with suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino
        return name if namespace == FIRST_NAMESPACE else f"{name}.{namespace:x}"
    return name


def _running(pid: int, path: Path) -> bool:
    """Whether the process that made `path` still runs: one that started later only has its number."""
    try:
        started: float = psutil.Process(pid).create_time()
        return started <= path.lstat().st_mtime + 1
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, OSError, ValueError, OverflowError):
        return False
