"""What a model computes has to be finite: where it is not, the task, the row and the cause are named.

Compared as it is, NaN makes the first choice the best, and the likeliest token the first of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from tailored_llama.checkpoint import require_finite_model
from tailored_llama.errors import NotFiniteError

Where = Callable[[int], str]
"""What a row of a batch is, for a message: `task boolq, rows.jsonl, row 3`."""


def not_finite(model: nn.Module, where: str, found: str) -> NotFiniteError:
    """The error for a `model` whose output at `where` is not finite, with the cause as far as it shows."""
    try:
        require_finite_model(model)
    except NotFiniteError as error:
        return NotFiniteError(f"{where}: {found}; {error}")
    dtype = next(model.parameters()).dtype
    other = "convert it to bfloat16 or float32" if dtype == torch.float16 else "train it again, or cut less"
    precision = str(dtype).removeprefix("torch.")
    return NotFiniteError(f"{where}: {found}; the model's activations overflow ({precision}); {other}")


def require_finite_logits(logits: Tensor, model: nn.Module, where: Where) -> None:
    """NotFiniteError where a row of `logits` [rows, vocabulary] holds NaN or +Inf, or nothing else than -Inf;
    `where` names a row.
    """
    # The maximum passes NaN on.
    bad = ~torch.isfinite(logits.amax(dim=-1))
    if bool(bad.any()):
        raise not_finite(model, where(int(bad.nonzero()[0])), "the logits of the next token are not finite")


class FiniteLogits(LogitsProcessor):  # type: ignore[misc]
    """Checks the logits of each step of `generate`, which by itself goes on with NaN."""

    def __init__(self, model: nn.Module, where: Where) -> None:
        self.model, self.where = model, where

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        require_finite_logits(scores, self.model, self.where)
        return scores
