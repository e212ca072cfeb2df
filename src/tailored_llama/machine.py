"""What a process of ours asks of the machine, and what memory it has taken."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def settle() -> None:
    """Waiting threads sleep, and freed memory is kept for the next tensor. For programs, not for a library,
    and before any heavy library is loaded.

    A walk makes and drops tensors of hundreds of megabytes all the time. By default each comes from the
    kernel, which hands out zeroed pages one by one: a quarter of the seconds (benchmarks/walk_7b.py). What
    the user has set in the environment (OMP_WAIT_POLICY, MALLOC_*) stays as it is.
    """
    # A thread that spins while it waits takes the core from the one it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def release() -> None:
    """Give freed memory back to the kernel, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def default_device() -> str:
    """Where models go that are read from the disk: the GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def reset_peak() -> None:
    """Begin a new peak, so that one measurement does not show the one before. Without effect where not
    Linux.
    """
    release()  # what is freed but kept is in no peak
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak_gpu_memory(device: torch.device) -> int | None:
    """Bytes of the largest allocation on a CUDA `device` since the last `reset_peak`; None on others."""
    import torch

    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


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
