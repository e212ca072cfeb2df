"""Dropout whose random numbers are cheap on a CPU.

One step of a small model drops out of every input of every adapter, and torch draws each number by itself:
a quarter of a tuning step went into `bernoulli_`. Here numpy's fastest generator draws 64 bits for four
elements, exact to 2^-16 in the probability; and modules that read the same input (queries, keys and values;
gate and up) drop the same of it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 2**16


@dataclass
class Input:
    """An activation that modules read, and what they drop of it."""

    x: weakref.ref[Tensor]
    kept: Tensor
    dropped: Tensor | None = None
    """What is left, for the adapters alone: no gradient goes through it by itself."""


class Masks:
    """What is dropped of one activation after the other: of each element with probability `p`.

    The stream is seeded from torch's global generator at the first draw.
    """

    def __init__(self, p: float) -> None:
        self.p = p
        self.scale = 1 / (1 - p)
        """What is left is multiplied with it."""
        self._stream: np.random.SFC64 | None = None
        self._last: Input | None = None

    def kept(self, x: Tensor, rows: Tensor) -> Tensor:
        """0 or 1 for every element of `rows`, which is `x` in the wanted shape and dtype: what was drawn for
        this very tensor, if it was the last.
        """
        last, wanted = self._last, (rows.shape, rows.dtype)
        if last is None or last.x() is not x or (last.kept.shape, last.kept.dtype) != wanted:
            last = self._last = Input(weakref.ref(x), self.draw(*wanted))
        return last.kept

    def apply(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`rows` without what is dropped, not scaled, detached and made once; and what is kept."""
        kept = self.kept(x, rows)
        assert self._last
        if self._last.dropped is None:
            self._last.dropped = rows.detach() * kept
        return self._last.dropped, kept

    def draw(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """A mask of 0 and 1."""
        if self._stream is None:
            self._stream = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
        count = shape.numel()
        level = torch.from_numpy(self._stream.random_raw(-(-count // 4)).view(np.int16))[:count].view(shape)
        # Straight into numbers: a pass over booleans, and choosing by them, takes twice as long.
        return torch.ge(level, round(self.p * LEVELS) - LEVELS // 2, out=torch.empty(shape, dtype=dtype))


class QuickDropout(nn.Module):
    """`nn.Dropout` for the CPU: zeroes a share of the elements, scales the others by 1 / (1 - p)."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return (x * self.masks.kept(x, x)).mul_(self.masks.scale)

    def extra_repr(self) -> str:
        return f"p={self.masks.p}"


def quicken_dropout(model: nn.Module, p: float) -> None:
    """Replace every `nn.Dropout` of the adapters in `model` that runs on the CPU, in place; `p` is theirs."""
    masks = Masks(p)
    for module in list(model.modules()):
        if not isinstance(module, nn.ModuleDict):
            continue
        for name, child in module.items():
            if isinstance(child, nn.Dropout):
                module[name] = QuickDropout(masks)
