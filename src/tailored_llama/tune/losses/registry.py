"""How a loss becomes known by its name."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from tailored_llama.tune.data import Batch

# Logits at the places that predict an answer's tokens, and the batch they come from, to the loss summed over
# these tokens: the trainer divides by the answer tokens of the whole step, so that cutting a step into
# micro-batches changes nothing.
Loss = Callable[[Float[Tensor, "answer_tokens vocab"], Batch], Float[Tensor, ""]]

LOSSES: dict[str, Loss] = {}


def register(name: str) -> Callable[[Loss], Loss]:
    """Decorator that makes a loss known to recipes as `name`."""

    def add(loss: Loss) -> Loss:
        assert name not in LOSSES, name
        LOSSES[name] = loss
        return loss

    return add
