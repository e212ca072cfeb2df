"""Choices by their log-likelihoods: which one is best, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, Metric
from tailored_llama.scoring.forward import loglikelihoods
from tailored_llama.scoring.requests import context_length, embedding_rows, requests


@dataclass(frozen=True)
class Scored:
    """One question's choices: log-likelihoods in nats, lengths in characters, whether a context was cut."""

    loglikelihoods: tuple[float, ...]
    lengths: tuple[int, ...]
    gold: int
    cut: bool

    def values(self, metric: Metric) -> list[float]:
        """What `metric` compares: the log-likelihoods, for acc_norm each over its answer's length."""
        assert metric in ("acc", "acc_norm"), metric
        if metric == "acc":
            return list(self.loglikelihoods)
        return [value / length for value, length in zip(self.loglikelihoods, self.lengths, strict=True)]

    def correct(self, metric: Metric) -> bool:
        """Whether the first of the best choices is the gold one."""
        values = self.values(metric)
        return values.index(max(values)) == self.gold

    def probabilities(self, metric: Metric) -> list[float]:
        """How the model spreads its belief over the choices: a softmax of what `metric` compares, in nats.

        For acc_norm the values per character are taken times the question's mean length, back to nats of a
        whole answer, so that one letter and a sentence are measured on the same scale.
        """
        scale = 1.0 if metric == "acc" else sum(self.lengths) / len(self.lengths)
        values = [scale * value for value in self.values(metric)]
        weights = [math.exp(value - max(values)) for value in values]
        return [weight / sum(weights) for weight in weights]

    def margin(self, metric: Metric) -> float:
        """Probability of the gold choice minus that of the best of the others (0 where there is no other):
        between -1 and 1.
        """
        probabilities = self.probabilities(metric)
        return probabilities.pop(self.gold) - max(probabilities, default=0.0)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    max_length: int | None = None,
    description: str = "scoring",
) -> list[Scored]:
    """Every choice of every example, in order; log-softmax in fp32.

    What choices and questions begin with alike is computed once. `batch_size` rows run together (a row is a
    question or a few), or, where it is None, as many as make a good load. Contexts longer than `max_length`
    (default: the model's) lose their beginning. Raises DataError for an answer that does not fit,
    CheckpointError for a token that the model does not have, NotFiniteError for a model that gives no finite
    number.
    """
    asked = list(requests(tokenizer, examples, max_length or context_length(model), embedding_rows(model)))
    found = loglikelihoods(
        model, [(r.ids, r.answer) for r in asked], batch_size=batch_size, description=description,
        name=lambda index: f"row {examples[asked[index].question].row + 1}",
    )  # fmt: skip
    values = iter(value for value, _ in found)
    cut = {request.question for request in asked if request.cut}
    return [
        Scored(tuple(islice(values, len(example.answers))), example.lengths, example.gold, index in cut)
        for index, example in enumerate(examples)
    ]


def accuracy(scored: Sequence[Scored], metric: Metric) -> float:
    """Share of questions whose best choice is the gold one."""
    return sum(question.correct(metric) for question in scored) / len(scored)
