"""Out-of-memory errors of the device or the host, converted to a message that a user can act on."""

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
REQUESTED = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.]+) ?(\w+)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error`, of Python, the kernel, torch or a device library, means that memory is exhausted."""
    if isinstance(error, TailorError):
        return isinstance(error, MemoryLimitError)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch raises plain RuntimeErrors, safetensors its own errors.
    kinds = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return kinds and bool(SIGNS.search(str(error)))


@contextmanager
def memory_for(doing: str, lower: str) -> Iterator[None]:
    """Convert an out-of-memory error of the block (or decorated function) to a MemoryLimitError that names
    the action `doing` and the setting to `lower`. A MemoryLimitError of an inner block is passed on.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TailorError) or not out_of_memory(error):
            raise
        raise MemoryLimitError(f"{doing}: {describe(error)}; {lower}") from None


def describe(error: BaseException) -> str:
    """A short description of an out-of-memory error: the device, and the requested amount if known."""
    text = " ".join(str(error).split())
    place = "the GPU" if "cuda" in text.lower() or "gpu" in text.lower() else "this machine"
    request = REQUESTED.search(text)
    if not request:
        return f"{place} is out of memory"
    number, unit = request.groups()
    if unit.lower() in ("bytes", "byte"):
        number, unit = f"{float(number) / 1e9:.3g}", "GB"
    return f"{place} is out of memory ({number} {unit} more were needed)"
