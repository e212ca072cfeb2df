"""Dropout with cheap random numbers on a CPU.

Dropout is applied to the input of every adapter, and torch draws one number per element: for a small model,
`bernoulli_` took a quarter of a training step. Here numpy's fastest generator draws 64 bits for four
elements, with probabilities exact to 2^-16; and modules with the same input (queries, keys and values; gate
and up) share a mask.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 2**16


@dataclass
class Input:
    """An activation that several modules read, and its dropout mask."""

    x: weakref.ref[Tensor]
    kept: Tensor
    dropped: Tensor | None = None
    """The activation after dropout, detached; only the adapters read it."""


class Masks:
    """Dropout masks of successive activations; each element is dropped with probability `p`.

    The generator is seeded from torch's global generator at the first draw.
    """

    def __init__(self, p: float) -> None:
        self.p = p
        self.scale = 1 / (1 - p)
        """Scale factor of the remaining elements."""
        self._stream: np.random.SFC64 | None = None
        self._last: Input | None = None

    def kept(self, x: Tensor, rows: Tensor) -> Tensor:
        """A mask of 0 and 1 for `rows`, which is `x` in the required shape and dtype. The last mask is reused
        if it was drawn for the same tensor.
        """
        last, wanted = self._last, (rows.shape, rows.dtype)
        if last is None or last.x() is not x or (last.kept.shape, last.kept.dtype) != wanted:
            last = self._last = Input(weakref.ref(x), self.draw(*wanted))
        return last.kept

    def apply(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(`rows` after dropout, not scaled, detached and cached; the mask)."""
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
        # Create numbers directly: boolean masks and selection take twice as long.
        return torch.ge(level, round(self.p * LEVELS) - LEVELS // 2, out=torch.empty(shape, dtype=dtype))

    def again(self) -> AbstractContextManager[None]:
        """A context, to be entered later, that draws the masks which are drawn from here on once more."""
        state = None if self._stream is None else self._stream.state
        return self._from(state)

    @contextmanager
    def _from(self, state: Any) -> Iterator[None]:
        before = self._stream, self._last
        self._stream, self._last = None, None
        if state is not None:
            self._stream = np.random.SFC64()
            self._stream.state = state
        try:
            yield
        finally:
            self._stream, self._last = before


class QuickDropout(nn.Module):
    """`nn.Dropout` for the CPU: zeroes a share p of the elements, scales the others by 1 / (1 - p)."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return (x * self.masks.kept(x, x)).mul_(self.masks.scale)

    def extra_repr(self) -> str:
        return f"p={self.masks.p}"


def masks_of(model: nn.Module) -> list[Masks]:
    """The generators of the dropout of `model`, each once."""
    return list({id(m.masks): m.masks for m in model.modules() if isinstance(m, QuickDropout)}.values())


def quicken_dropout(model: nn.Module, p: float) -> None:
    """Replace every `nn.Dropout` of the adapters in `model` that is on the CPU, in place; `p` is its
    probability.
    """
    masks = Masks(p)
    for module in list(model.modules()):
        if not isinstance(module, nn.ModuleDict):
            continue
        for name, child in module.items():
            if isinstance(child, nn.Dropout):
                module[name] = QuickDropout(masks)
