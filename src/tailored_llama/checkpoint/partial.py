"""Partial files and directories: their names, and the removal of those that killed processes left.

A partial file is called `.NAME.partial-HOST-PID-RANDOM`. A result that is being replaced is briefly renamed
to `.NAME.replaced-HOST-PID-RANDOM`. Host, process and random part identify one writer, also on a disk that
several hosts share.
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
"""The inode of Linux's initial PID namespace. Containers have other namespaces with their own process ids."""
log = logging.getLogger(__name__)


def partial_path(path: Path, kind: Kind = "partial") -> Path:
    """A path next to `path` that no other process uses, on this host or another."""
    return path.with_name(f".{path.name}.{kind}-{host()}-{os.getpid()}-{secrets.token_hex(4)}")


def is_leftover(path: Path) -> bool:
    """Whether `path` has the name of a partial or replaced file or directory."""
    return PATTERN.fullmatch(path.name) is not None


def final_path(path: str | Path) -> Path:
    """`path` with the final names of its partial directories."""
    parts = [match["name"] if (match := PATTERN.fullmatch(part)) else part for part in Path(path).parts]
    return Path(*parts)


def clear_leftovers(directory: Path, name: str | None = None) -> None:
    """Remove partial files in `directory` left by dead processes of this host, for the file `name` or all.

    A replaced result is restored if no new one exists. Files of other hosts and of running processes are
    kept.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.glob(".*")):
        match = PATTERN.fullmatch(path.name)
        if match is None or name not in (None, match["name"]):
            continue
        if match["host"] != host():
            log.info("%s was left by host %s; delete it if no process there writes it", path, match["host"])
        elif not _running(int(match["pid"]), path):
            original = path.with_name(match["name"])
            if match["kind"] == "replaced" and not original.exists():
                with suppress(OSError):
                    path.rename(original)
            else:
                log.info("removing %s, left by a process that was killed", path)
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory tree, as far as possible. Ctrl-C takes effect when it is removed."""
    try:
        _remove(path)
    except KeyboardInterrupt:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def host() -> str:
    """The name of this host, with the PID namespace if it is a container."""
    name = re.sub(r"[^\w.-]", "_", socket.gethostname())[:60] or "localhost"
    with suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino
        return name if namespace == FIRST_NAMESPACE else f"{name}.{namespace:x}"
    return name


def _running(pid: int, path: Path) -> bool:
    """Whether the process that created `path` still runs; a process that started later only reuses its id."""
    try:
        started: float = psutil.Process(pid).create_time()
        return started <= path.lstat().st_mtime + 1
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, OSError, ValueError, OverflowError):
        return False
