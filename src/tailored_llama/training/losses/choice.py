"""Cross-entropy over the choices: the correct one should have the highest score in the task's metric."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss


@loss(per="questions", ranks=True)
def choice(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """Sum over questions of -log softmax of the correct choice, over the choices' log-likelihoods in nats;
    for acc_norm per character, times the question's mean length (as `Scored.probabilities`).
    """
    values = logprobs.new_zeros(len(batch.gold)).index_add(
        0, batch.choice, logprobs[batch.at, batch.targets]
    ) * batch.weight  # fmt: skip
    # Questions have different numbers of choices: the table is padded with -inf.
    question = batch.question
    first = torch.searchsorted(question, torch.arange(len(batch.gold.nonzero()), device=question.device))
    column = torch.arange(len(question), device=question.device) - first[question]
    table = values.new_full((len(first), int(column.max()) + 1), -torch.inf)
    table = table.index_put((question, column), values)
    return (table.logsumexp(1) - values[batch.gold]).sum()
