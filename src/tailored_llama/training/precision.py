"""Which number format the forward and backward passes of tuning run in."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Literal

import torch

from tailored_llama.errors import TuneError

Precision = Literal["fp32", "bf16"]
WORTH = 1.3
"""Times the speed of fp32 from which on bf16 is chosen: clear of chance, and of what conversions cost."""
# What a CPU calls the units that multiply bf16 without going through fp32: x86 AVX-512 and AMX, 64-bit Arm.
CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def computes_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices in hardware; emulation does not count."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return any(bool(able.get(name)) for name in CPU_BF16)
    return False


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """`auto`: bf16 where the device computes it natively and gains by it, else fp32; never fp16, whose narrow
    range is where pruned models overflow.

    That a CPU has instructions for bf16 does not say that they are faster: without tile units some do as
    many operations a second as in fp32, and converting comes on top. So on a CPU a product is timed, once a
    process. For a model of a few million parameters it matters little: with hidden size 256, 6 layers and 50
    tokens a shot, bf16 ran at 0.85 times the speed of fp32 in batches of 8 and at 1.1 of 64.

    Raises TuneError where bf16 is asked of a GPU that would only emulate it.
    """
    if wanted == "auto":
        able = computes_bf16(device) and (device.type != "cpu" or gain_of_bf16() >= WORTH)
        return "bf16" if able else "fp32"
    if wanted == "bf16" and device.type == "cuda" and not computes_bf16(device):
        raise TuneError("precision: this GPU does not compute bf16; use fp32 or auto")
    return wanted


@cache
def gain_of_bf16() -> float:
    """How many times as fast this CPU multiplies matrices in bf16 as in fp32; tens of milliseconds."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(6):
            # Of this thread alone: what else the machine does should not decide. The first prepares.
            started = time.thread_time()
            torch.nn.functional.linear(x, weight)
            times.append(time.thread_time() - started)
        seconds[dtype] = min(times[1:])
    return seconds[torch.float32] / seconds[torch.bfloat16]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a forward pass runs in `precision`; weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
