"""Double precision throughout, where the results of two ways of computing are compared.

A model in double precision still computes in single in places: transformers casts norms, softmax, rotary
positions and the logits of the loss to float32. What those steps give differs between processors and with
the order of summation, so a tight comparison of gradients holds on one machine and fails on the next.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class InDouble(TorchFunctionMode, ContextDecorator):
    """Within it, what is requested in float32 is computed in float64. Models are to be built within it too:
    their rotary frequencies are computed then.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        args = [torch.float64 if value is torch.float32 else value for value in args]
        named = {
            name: torch.float64 if value is torch.float32 else value for name, value in (kwargs or {}).items()
        }
        found = func(*args, **named)
        if func is torch.tensor and found.dtype is torch.float32:  # of a Python number, such as Gemma's scale
            found = func(*args, **named, dtype=torch.float64)
        return found


def close(found: Tensor, expected: Tensor) -> None:
    """AssertionError where tensors differ by more than the rounding of sums in double precision."""
    assert found.dtype == expected.dtype == torch.float64
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11 * scale + 1e-18)
