"""What a process of ours asks of the machine, before any heavy library is loaded."""

from __future__ import annotations

import ctypes
import os
import sys

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def settle() -> None:
    """Waiting threads sleep, and freed memory is kept for the next tensor. For programs, not for a library.

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
