"""Traps that spring inside a running command: at its n-th change of the disk, or past a size."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class KillAt:
    """SIGKILL just before change number `number` of the file system below the working directory."""

    number: int

    def __call__(self) -> None:
        _at(self.number, lambda: os.kill(os.getpid(), signal.SIGKILL))


@dataclass(frozen=True)
class InterruptAt:
    """Ctrl-C at change number `number`."""

    number: int

    def __call__(self) -> None:
        _at(self.number, lambda: os.kill(os.getpid(), signal.SIGINT))


@dataclass(frozen=True)
class FillAt:
    """At change number `number` another program takes all but `spare` bytes of the disk `place`, a tmpfs."""

    number: int
    place: str
    spare: int

    def __call__(self) -> None:
        _at(self.number, self._fill)

    def _fill(self) -> None:
        disk = os.statvfs(self.place)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        subprocess.run(
            ["mount", "-o", f"remount,size={max(4096, used + self.spare)}", self.place], check=True
        )


@dataclass(frozen=True)
class LimitFiles:
    """No file may grow beyond `size` bytes, as with `ulimit -f`."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))


@dataclass(frozen=True)
class Count:
    """Count the changes and write their number to `file`."""

    file: str

    def __call__(self) -> None:
        count = 0

        def add() -> None:
            nonlocal count
            count += 1
            Path(self.file).write_text(str(count))

        _on_change(add)


def _at(number: int, act: Callable[[], None]) -> None:
    left, process = number, os.getpid()

    def step() -> None:
        nonlocal left
        left -= 1
        if left == -1 and os.getpid() == process:
            act()

    _on_change(step)


def _on_change(act: Callable[[], None]) -> None:
    home = os.getcwd() + os.sep
    inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal inside
        if inside or not (event in EVENTS or (event == "open" and _writes(arguments))):
            return
        if not any(
            isinstance(place, str | bytes | os.PathLike)
            and os.path.abspath(os.fsdecode(place)).startswith(home)
            for place in arguments[:2]
        ):
            return
        inside = True
        try:
            act()
        finally:
            inside = False

    sys.addaudithook(hook)


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & WRITING)
