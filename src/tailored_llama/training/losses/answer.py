"""Cross-entropy of the answer's tokens, without the prompt (the loss of Aftab and Davy 2024)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss


@loss(per="answer")
def answer(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """Sum of the negative log-likelihoods, in nats, of the correct answers, as in lm_eval's score of a
    choice.
    """
    right = batch.gold[batch.choice]
    return -logprobs[batch.at[right], batch.targets[right]].sum()
