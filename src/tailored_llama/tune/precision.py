"""Which number format the forward and backward passes of tuning run in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from tailored_llama.errors import TuneError

Precision = Literal["fp32", "bf16"]
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
    """`auto`: bf16 where the device computes it natively, else fp32; never fp16, whose narrow range is where
    pruned models overflow.

    For a model of a few million parameters on a CPU it matters little, since converting costs what
    multiplying saves: with hidden size 256, 6 layers and 50 tokens a shot (2.5 M parameters, AVX512-BF16),
    bf16 ran at 0.85 times the speed of fp32 in batches of 8, at 1.0 of 16 and at 1.1 of 64.

    Raises TuneError where bf16 is asked of a GPU that would only emulate it.
    """
    if wanted == "auto":
        return "bf16" if computes_bf16(device) else "fp32"
    if wanted == "bf16" and device.type == "cuda" and not computes_bf16(device):
        raise TuneError("tune.precision: this GPU does not compute bf16; use fp32 or auto")
    return wanted


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a forward pass runs in `precision`; weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
