"""What the command asks of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

FAULTS = """
import resource, sys
from tailored_llama import machine
if "settle" in sys.argv: machine.settle()
import numpy as np
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50): np.ones(4_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@cache
def faults(*arguments: str, **environment: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS, *arguments]
    return int(subprocess.check_output(command, env=plain | {"NUMPY_MADVISE_HUGEPAGE": "0"} | environment))


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_used_again() -> None:
    assert faults("settle") < faults() / 2


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_what_the_user_has_set_stays() -> None:
    assert faults("settle", MALLOC_ARENA_MAX="2") > faults("settle")


def test_waiting_threads_sleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from tailored_llama import machine

    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # the test's own process keeps its memory as it was
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    machine.settle()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    machine.settle()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_a_new_peak_begins_without_what_was_kept() -> None:
    code = (
        "from tailored_llama import machine; machine.settle(); import numpy as np;"
        "x = [np.ones(500_000) for _ in range(100)]; full = machine.peak_memory(); del x;"
        "machine.reset_peak(); print(full - machine.peak_memory())"
    )
    assert int(subprocess.check_output([sys.executable, "-c", code])) > 300e6
