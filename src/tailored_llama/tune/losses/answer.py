"""Cross-entropy of the answer's tokens, nothing of the prompt's (the loss of Aftab and Davy 2024)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from tailored_llama.tune.data import Batch
from tailored_llama.tune.losses.registry import register


@register("answer")
def answer(logits: Float[Tensor, "answer_tokens vocab"], batch: Batch) -> Float[Tensor, ""]:
    """Summed negative log-likelihood in nats of the right answer: what lm_eval's score of that choice is."""
    return cross_entropy(logits.float(), batch.targets, reduction="sum")
