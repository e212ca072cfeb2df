"""Cross-entropy of the answer's tokens, nothing of the prompt's (the loss of Aftab and Davy 2024)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss


@loss(per="answer")
def answer(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """Summed negative log-likelihood in nats of the right answers: what lm_eval's score of that choice is."""
    right = batch.gold[batch.choice]
    return -logprobs[batch.at[right], batch.targets[right]].sum()
