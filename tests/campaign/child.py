"""One command line in a process of its own, forked from a server that has the heavy libraries loaded.

Starting Python and importing torch takes seconds; a fork takes a few milliseconds, and everything else is as
in a process that a user starts: exit code, both streams, signals, limits.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

MEMORY_LIMIT = 5 * 2**30  # bytes of data; above what is allowed, so that it is measured, and below what hurts
TIMEOUT = 240.0  # seconds; a command that takes longer is ended, and wrong
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.campaign.warm"])

Fault = Callable[[], None]
"""What is done in the process before the command: a trap that springs later. Has to be picklable."""


@dataclass(frozen=True)
class Ran:
    """What a command did. `code` is negative for a signal; `seconds` are of the processor, `wall` of the
    clock; `memory` is the peak of the resident set in bytes (0 where a signal ended it).
    """

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    wall: float
    memory: int
    timed_out: bool

    @property
    def line(self) -> str:
        """The command, with long values cut short."""
        return " ".join(("tailor", *(arg if len(arg) < 200 else f"{arg[:200]}..." for arg in self.arguments)))


class Running:
    """A command that was started; `wait` for it, or send it a signal."""

    def __init__(self, process: BaseProcess, arguments: tuple[str, ...], logs: Path) -> None:
        self._process, self._arguments, self._logs = process, arguments, logs
        self._started = time.monotonic()

    def signal(self, number: int, after: float) -> None:
        """Send a signal `after` so many seconds, unless the command ends before."""
        self._process.join(after)
        if self._process.is_alive() and self._process.pid:
            os.kill(self._process.pid, number)

    def wait(self) -> Ran:
        """The result, within TIMEOUT."""
        self._process.join(TIMEOUT)
        late = self._process.is_alive()
        if late:
            self._process.kill()
            self._process.join()
        usage = self._logs / "usage.json"
        used = json.loads(usage.read_text()) if usage.exists() else {"seconds": 0.0, "memory": 0}
        out, err = ((self._logs / name).read_text(errors="replace") for name in ("out", "err"))
        code = self._process.exitcode
        assert code is not None
        wall = time.monotonic() - self._started
        self._process.close()
        return Ran(self._arguments, code, out, err, used["seconds"], wall, used["memory"], late)


def start(arguments: Sequence[str], cwd: Path, fault: Fault | None = None) -> Running:
    """Start `tailor ARGUMENTS...` in `cwd`; its streams are kept in `cwd`/logs."""
    logs = cwd / "logs" / str(time.monotonic_ns())
    logs.mkdir(parents=True)
    process = _context.Process(target=_enter, args=(tuple(arguments), str(cwd), str(logs), fault))
    process.start()
    return Running(process, tuple(arguments), logs)


def run(arguments: Sequence[str], cwd: Path, fault: Fault | None = None) -> Ran:
    """`tailor ARGUMENTS...` in `cwd`, to its end."""
    return start(arguments, cwd, fault).wait()


def call(function: Callable[..., Any], *arguments: Any) -> None:
    """A function of the test's own in such a process; AssertionError where it fails."""
    process = _context.Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, function.__name__


def _enter(arguments: tuple[str, ...], cwd: str, logs: str, fault: Fault | None) -> None:
    os.chdir(cwd)
    for number, name in ((0, None), (1, "out"), (2, "err")):
        place = os.devnull if name is None else os.path.join(logs, name)
        flags = os.O_RDONLY if name is None else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(place, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv[:] = ["tailor", *arguments]
    from tailored_llama.cli import main
    from tailored_llama.machine import peak_memory, reset_peak

    reset_peak()
    if fault is not None:
        fault()
    try:
        main(list(arguments))
    finally:
        # A limit that a fault has set is not for this file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        usage = {"seconds": time.process_time(), "memory": peak_memory()}
        Path(logs, "usage.json").write_text(json.dumps(usage))
