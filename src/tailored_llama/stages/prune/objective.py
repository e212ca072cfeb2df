"""The objective whose gradient is computed: a weighted sum of log-likelihoods of tokens.

    loss = - sum_t w_t log p(y_t | x_1 .. x_t)

Every objective is such a sum. Objectives differ in their sequences, in the tokens y that count, and in the
weights w, which may depend on the model's predictions.
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
    """The targets of one batch: the next token `labels[s, t]` after token t, and its weight in the loss (0
    for tokens that do not count).
    """

    labels: Int[Tensor, "sequences length"]
    weights: Float[Tensor, "sequences length"]


Likelihoods = Callable[[Int[Tensor, "sequences length"], Tensor], Float[Tensor, " places"]]
"""From next tokens [sequences, length] and a mask of the same shape to log p of the masked-in tokens."""


@runtime_checkable
class Objective(Protocol):
    """Text, and a loss on it that is the mean of the losses of `samples` samples."""

    samples: int

    def batches(self, per_sample: bool, tokens_at_once: int) -> Sequence[Tokens]:
        """Batches of token ids, padded on the right; with one sample each, or about
        `tokens_at_once` tokens.
        """
        ...

    def targets(self, batch: int, likelihoods: Likelihoods) -> Targets:
        """The targets of a batch, given by its index in `batches`; `likelihoods` evaluates the model."""
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
        weights = torch.full(tokens.shape, 1 / self.tokens[:, 1:].numel(), dtype=torch.float64)
        weights[:, -1] = 0  # the last token has no target
        return Targets(labels, weights)
