"""How far fp32 results may be from reference results that another processor computed.

The reference selections were computed with AVX-512 kernels. Where torch has the same kernels, results agree
to the last digits. Other processors add up in another order; there the bound is the rounding of this very
model: how far its own fp32 results are from those in double precision.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from transformers import PreTrainedModel

SAME_KERNELS = torch.backends.cpu.get_cpu_capability() == "AVX512"


def scores_close(scores: Tensor, expected: Tensor) -> None:
    """AssertionError where scores differ from the reference's. Selections are compared exactly everywhere."""
    # A score is a sum that may cancel: elsewhere its rounding is that of its terms, not of what is left.
    rtol, atol = (1e-4, 0.0) if SAME_KERNELS else (5e-4, 1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(scores, expected, rtol=rtol, atol=atol)


def tolerance(model: PreTrainedModel, tokens: Tensor) -> float:
    """The absolute tolerance of the logits of `model` on `tokens`, in eval mode."""
    if SAME_KERNELS:
        return 1e-5
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(tokens).logits
        return max(1e-5, 3 * float((model(tokens).logits.double() - exact).abs().max()))
