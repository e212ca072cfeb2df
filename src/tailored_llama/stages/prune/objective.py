"""What the gradient is of: a weighted sum of log-likelihoods of tokens.

    loss = - sum_t w_t log p(y_t | x_1 .. x_t)

Every objective is such a sum. They differ in the sequences that are read, in the tokens y that are looked
at, and in their weights w, which may depend on what the model makes of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Tokens = Int[Tensor, "samples length"]


@dataclass(frozen=True)
class Targets:
    """Of one batch: the next token `labels[s, t]` after token t, and its weight in the loss, which is 0 where
    nothing is looked at."""

    labels: Int[Tensor, "sequences length"]
    weights: Float[Tensor, "sequences length"]


Likelihoods = Callable[[Int[Tensor, "sequences length"], Tensor], Float[Tensor, " places"]]
"""From next tokens [sequences, length] and a mask of the same shape to log p of those under the mask."""


@runtime_checkable
class Objective(Protocol):
    """Text to read, and a loss on it that is the mean of the losses of `samples` samples."""

    samples: int

    def batches(self, per_sample: bool, tokens_at_once: int) -> Sequence[Tokens]:
        """Token ids, padded on the right where sequences differ in length; one sample in each batch, or about
        `tokens_at_once` tokens."""
        ...

    def targets(self, batch: int, likelihoods: Likelihoods) -> Targets:
        """What counts of a batch (by its place in `batches`); `likelihoods` asks the model."""
        ...


class LanguageModel:
    """The mean cross-entropy of all next tokens, in nats."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.samples = len(tokens)
        self._read: Sequence[Tokens] = ()

    def batches(self, per_sample: bool, tokens_at_once: int) -> Sequence[Tokens]:
        self._read = torch.split(
            self.tokens, 1 if per_sample else max(1, tokens_at_once // self.tokens.shape[1])
        )
        return self._read

    def targets(self, batch: int, likelihoods: Likelihoods) -> Targets:
        tokens = self._read[batch]
        labels = functional.pad(tokens[:, 1:], (0, 1))
        weights = torch.full(tokens.shape, 1 / self.tokens[:, 1:].numel())
        weights[:, -1] = 0  # the last token predicts nothing
        return Targets(labels, weights)
