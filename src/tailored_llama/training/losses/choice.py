"""Cross-entropy over the choices: the right one is to rank first, in the figures that the task compares."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.training.batches import Batch
from tailored_llama.training.loss import loss


@loss(per="questions", ranks=True)
def choice(logprobs: Float[Tensor, "places vocab"], batch: Batch) -> Float[Tensor, ""]:
    """Summed over questions: -log softmax of the right choice among the choices' log-likelihoods in nats, for
    acc_norm per character and times the question's mean length (`Scored.probabilities` of the scorer).
    """
    values = logprobs.new_zeros(len(batch.gold)).index_add(
        0, batch.choice, logprobs[batch.at, batch.targets]
    ) * batch.weight  # fmt: skip
    # Questions have different numbers of choices: a table with -inf where one has no more.
    question = batch.question
    first = torch.searchsorted(question, torch.arange(len(batch.gold.nonzero()), device=question.device))
    column = torch.arange(len(question), device=question.device) - first[question]
    table = values.new_full((len(first), int(column.max()) + 1), -torch.inf)
    table = table.index_put((question, column), values)
    return (table.logsumexp(1) - values[batch.gold]).sum()
