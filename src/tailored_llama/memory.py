"""Peak memory of this process, as the kernel counts it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tailored_llama import machine

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Begin a new peak, so that one measurement does not show the one before. Without effect where not
    Linux.
    """
    machine.release()  # what is freed but kept is nobody's peak
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Bytes of the largest resident set since the last `reset_peak`, else since the process began.

    The interpreter and its libraries are part of it (some 0.5 GB), so differences say more than ratios.
    """
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
