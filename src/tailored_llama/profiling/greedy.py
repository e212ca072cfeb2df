"""Greedy decoding in transformers, with timing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama.scoring import not_finite


@dataclass(frozen=True)
class Decoded:
    """The decoded tokens and their timing.

    `tokens` is `[batch, new]`; `first` the seconds to the first token, `seconds` to the last.
    """

    tokens: Int[Tensor, "batch new"]
    first: float
    seconds: float

    @property
    def decode_rate(self) -> float | None:
        """Tokens per second after the first token of each row; None if there is only one."""
        rows, new = self.tokens.shape
        return rows * (new - 1) / (self.seconds - self.first) if new > 1 else None


def decode(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch length"],
    new: int,
    stop: Collection[int] = (),
    *,
    where: str = "the prompt",
) -> Decoded:
    """Decode up to `new` tokens greedily (at least 1); a single row also ends at a token of `stop`.

    Only the last token of the prompt goes through the head, as in llama.cpp, so that timings are comparable.
    Raises NotFiniteError, with the prompt's description `where`, if logits are not finite.
    """
    started = time.perf_counter()
    tokens, times = [], []
    for token in _steps(model, ids, new, where):
        tokens.append(token)
        times.append(time.perf_counter() - started)
        if len(token) == 1 and int(token) in stop:
            break
    return Decoded(torch.stack(tokens, dim=1), times[0], times[-1])


def _steps(model: PreTrainedModel, ids: Tensor, new: int, where: str) -> Iterator[Tensor]:
    """Yield one token `[batch]` at a time, after its computation has finished, also on a GPU."""
    cache = None
    with torch.inference_mode():
        for _ in range(new):
            out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = out.past_key_values
            best, ids = out.logits[:, -1].max(-1, keepdim=True)
            if not bool(torch.isfinite(best).all()):
                raise not_finite(model, where, "the logits of the next token are not finite")
            yield ids[:, 0].cpu()
