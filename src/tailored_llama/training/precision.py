"""The precision of the forward and backward passes of training."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Literal

import torch

from tailored_llama.errors import TuneError

Precision = Literal["fp32", "bf16"]
Requested = Literal["auto", "fp32", "bf16"]
WORTH = 1.3
"""Minimum speed-up over fp32 to choose bf16: above measurement noise and conversion costs."""
# CPU features for native bf16 multiplication: x86 AVX-512 and AMX, 64-bit Arm.
CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def computes_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices in hardware; emulation does not count."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return any(bool(able.get(name)) for name in CPU_BF16)
    return False


def choose_precision(precision: Requested, device: torch.device) -> Precision:
    """`auto`: bf16 if the device computes it natively and faster, else fp32; never fp16, in whose narrow
    range pruned models overflow.

    CPU instructions for bf16 are not always faster: without tile units, some CPUs have the same throughput as
    in fp32, and conversions add to it. So a matrix product is timed on a CPU, once per process. For a model
    of a few million parameters the choice matters little: with hidden size 256, 6 layers and 50 tokens per
    shot, bf16 ran at 0.85 times the speed of fp32 with batch size 8, and 1.1 times with 64.

    Raises TuneError if bf16 is requested on a GPU that only emulates it.
    """
    if precision == "auto":
        able = computes_bf16(device) and (device.type != "cpu" or gain_of_bf16() >= WORTH)
        return "bf16" if able else "fp32"
    if precision == "bf16" and device.type == "cuda" and not computes_bf16(device):
        raise TuneError("precision: this GPU does not support bf16; use fp32 or auto")
    return precision


@cache
def gain_of_bf16() -> float:
    """The speed-up of bf16 matrix products over fp32 on this CPU; takes tens of milliseconds."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(6):
            # Thread time, so that other load on the machine has no influence. The first run is a warm-up.
            started = time.thread_time()
            torch.nn.functional.linear(x, weight)
            times.append(time.thread_time() - started)
        seconds[dtype] = min(times[1:])
    return seconds[torch.float32] / seconds[torch.bfloat16]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A context in which a forward pass runs in `precision`; weights are not converted."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
