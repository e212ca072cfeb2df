"""Distillation (Hinton et al. 2015): match the unpruned teacher's distribution at every token."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss

LEAST = 1e-6  # minimum of the total probability of tokens that are not kept, at the resolution of fp32 sums


@loss(per="reads", choices=True, teacher=True)
def distill(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """KL(teacher || student) in nats, summed over every token that is read: of correct and wrong answers, and
    of the texts that the teacher generated.

    If only the teacher's most likely tokens are stored, all others count as one token: a lower bound of the
    divergence, which is zero if the two agree on the stored tokens.
    """
    assert batch.teacher is not None
    teacher, tokens = batch.teacher.logprobs, batch.teacher.tokens
    if tokens is None:
        return (teacher.exp() * (teacher - logprobs[batch.at])).sum()
    student = logprobs[batch.at[:, None], tokens]
    kept = (teacher.exp() * (teacher - student)).sum()
    teacher_rest, student_rest = ((1 - values.exp().sum(1)).clamp_min(LEAST) for values in (teacher, student))
    return kept + (teacher_rest * (teacher_rest.log() - student_rest.log())).sum()
