"""Out of memory, of the device or of the host, in the one form that a user can act on."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tailored_llama.errors import MemoryLimitError, TailorError

SIGNS = re.compile(
    r"out of memory|not enough memory|can't allocate memory|cannot allocate memory|unable to allocate|"
    r"DefaultCPUAllocator|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|OUT_OF_(DEVICE|HOST)_MEMORY",
    re.IGNORECASE,
)
WANTED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.]+) ?(\w+)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error`, of Python, the kernel, torch or a library of a device, is for want of memory."""
    if isinstance(error, TailorError):
        return isinstance(error, MemoryLimitError)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch says it in plain RuntimeErrors, safetensors in errors of its own.
    kinds = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return kinds and bool(SIGNS.search(str(error)))


@contextmanager
def memory_for(doing: str, lower: str) -> Iterator[None]:
    """Turn an out-of-memory error of the block, or of the function that this decorates, into a
    MemoryLimitError of what was being done and what to `lower`. One that comes from another such block stays.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TailorError) or not out_of_memory(error):
            raise
        raise MemoryLimitError(f"{doing}: {describe(error)}; {lower}") from None


def describe(error: BaseException) -> str:
    """An out-of-memory error in a few words: whose memory, and how much was needed as far as it says."""
    text = " ".join(str(error).split())
    place = "the GPU" if "cuda" in text.lower() or "gpu" in text.lower() else "this machine"
    found = WANTED.search(text)
    if not found:
        return f"{place} is out of memory"
    number, unit = found.groups()
    if unit.lower() in ("bytes", "byte"):
        number, unit = f"{float(number) / 1e9:.3g}", "GB"
    return f"{place} is out of memory ({number} {unit} more were needed)"
