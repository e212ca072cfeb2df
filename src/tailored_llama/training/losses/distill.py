"""Distillation (Hinton et al. 2015): expect next what the unpruned teacher expects, token by token."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss

LEAST = 1e-6  # probability of all tokens that are not kept, as near to nothing as fp32 sums can tell


@loss(per="reads", choices=True, teacher=True)
def distill(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """KL(teacher || student) in nats, summed over every token that is read: of answers, right and wrong, and
    of the texts that the teacher wrote.

    Where only the likeliest tokens of the teacher are kept, all others count as one: a lower bound of the
    whole divergence, and still zero exactly where the two agree on what was kept.
    """
    assert batch.teacher is not None
    teacher, tokens = batch.teacher.logprobs, batch.teacher.tokens
    if tokens is None:
        return (teacher.exp() * (teacher - logprobs[batch.at])).sum()
    student = logprobs[batch.at[:, None], tokens]
    kept = (teacher.exp() * (teacher - student)).sum()
    theirs, ours = ((1 - values.exp().sum(1)).clamp_min(LEAST) for values in (teacher, student))
    return kept + (theirs * (theirs.log() - ours.log())).sum()
