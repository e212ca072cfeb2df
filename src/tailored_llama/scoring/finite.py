"""Checks that model outputs are finite. Errors name the task, the row and the likely cause.

Without the checks, NaN would silently select the first choice, and the first token of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from tailored_llama.checkpoint import require_finite_model
from tailored_llama.errors import NotFiniteError

Where = Callable[[int], str]
"""A function that describes a row of a batch in messages: `task boolq, rows.jsonl, row 3`."""


def not_finite(model: nn.Module, where: str, problem: str) -> NotFiniteError:
    """The error for a `model` whose output at `where` is not finite, with the likely cause."""
    try:
        require_finite_model(model)
    except NotFiniteError as error:
        return NotFiniteError(f"{where}: {problem}; {error}")
    dtype = next(model.parameters()).dtype
    advice = "convert it to bfloat16 or float32" if dtype == torch.float16 else "train it again, or cut less"
    precision = str(dtype).removeprefix("torch.")
    return NotFiniteError(f"{where}: {problem}; the model's activations overflow ({precision}); {advice}")


def require_finite_logits(logits: Tensor, model: nn.Module, where: Where) -> None:
    """NotFiniteError if a row of `logits` [rows, vocabulary] contains NaN or +Inf, or only -Inf. `where`
    describes a row.
    """
    # The maximum propagates NaN.
    bad = ~torch.isfinite(logits.amax(dim=-1))
    if bool(bad.any()):
        raise not_finite(model, where(int(bad.nonzero()[0])), "the logits of the next token are not finite")


class FiniteLogits(LogitsProcessor):  # type: ignore[misc]
    """Checks the logits of each step of `generate`, which would otherwise continue with NaN."""

    def __init__(self, model: nn.Module, where: Where) -> None:
        self.model, self.where = model, where

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        require_finite_logits(scores, self.model, self.where)
        return scores
