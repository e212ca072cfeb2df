"""Memory and thread settings of the process, and its peak memory."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tailored_llama.errors import RecipeError, shown

if TYPE_CHECKING:
    import torch

AUTO = "auto"

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def settle() -> None:
    """Let waiting threads sleep, and keep freed memory in the process for reuse. For programs, not libraries;
    call it before heavy libraries are loaded.

    A walk continually allocates and frees tensors of hundreds of megabytes. By default each allocation goes
    to the kernel, which zeroes the pages: a quarter of the time (benchmarks/walk_7b.py). Settings in the
    environment (OMP_WAIT_POLICY, MALLOC_*) are respected.
    """
    # A thread that spins while it waits blocks the core of the thread that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def release() -> None:
    """Return freed memory to the kernel, if the C library supports it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def device_named(requested: str | None = None) -> str:
    """The device that models on disk are loaded onto: `requested`, checked; for None and `auto` the first GPU
    if there is one, else the CPU (Apple's `mps` has no fp64 and is used on request only).

    Raises RecipeError if there is no such device.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    present = ["cpu", *(["mps"] if torch.backends.mps.is_available() else [])]
    present += ["cuda", *(f"cuda:{number}" for number in range(gpus))] if gpus else []
    if requested in (None, AUTO):
        return "cuda" if gpus else "cpu"
    if requested not in present:
        raise RecipeError(f"device {shown(requested)}: not on this machine; use auto or {', '.join(present)}")
    return str(requested)


def check_device(requested: str) -> None:
    """RecipeError if there is no such device; torch is imported only if one is named."""
    if requested != AUTO:
        device_named(requested)


def reset_peak() -> None:
    """Reset the peak memory, so that a measurement does not include earlier peaks. No effect
    outside Linux.
    """
    release()  # freed memory that the process keeps must not count
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
    """Bytes of the largest resident set since the last `reset_peak`, or since the start of the process.

    It includes the interpreter and its libraries (about 0.5 GB), so compare differences rather than ratios.
    """
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
