"""Scores of multiple-choice questions: the best choice and its margin, from log-likelihoods."""

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
    """The choices of one question: log-likelihoods in nats, lengths in characters, whether a context was
    truncated.
    """

    loglikelihoods: tuple[float, ...]
    lengths: tuple[int, ...]
    gold: int
    cut: bool

    def values(self, metric: Metric) -> list[float]:
        """The values that `metric` compares: log-likelihoods, divided by the answer's length for acc_norm."""
        assert metric in ("acc", "acc_norm"), metric
        if metric == "acc":
            return list(self.loglikelihoods)
        return [value / length for value, length in zip(self.loglikelihoods, self.lengths, strict=True)]

    def correct(self, metric: Metric) -> bool:
        """Whether the first of the best choices is the gold one."""
        values = self.values(metric)
        return values.index(max(values)) == self.gold

    def probabilities(self, metric: Metric) -> list[float]:
        """Probabilities of the choices: a softmax over the values that `metric` compares, in nats.

        For acc_norm the values per character are multiplied by the mean answer length of the question, so
        that short and long answers have the same scale.
        """
        scale = 1.0 if metric == "acc" else sum(self.lengths) / len(self.lengths)
        values = [scale * value for value in self.values(metric)]
        weights = [math.exp(value - max(values)) for value in values]
        return [weight / sum(weights) for weight in weights]

    def margin(self, metric: Metric) -> float:
        """Probability of the gold choice minus that of the best other choice (0 without other choices);
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
    """Score every choice of every example, in order; log-softmax in fp32.

    Common prefixes of choices and questions are computed once. `batch_size` rows form a batch (a row is one
    or a few questions); None chooses the size automatically. Contexts longer than `max_length` (default: the
    model's) are truncated on the left. Raises DataError for an answer that does not fit, CheckpointError for
    a token outside the model's vocabulary, NotFiniteError if a log-likelihood is not finite.
    """
    encoded = list(requests(tokenizer, examples, max_length or context_length(model), embedding_rows(model)))
    results = loglikelihoods(
        model, [(r.ids, r.answer) for r in encoded], batch_size=batch_size, description=description,
        name=lambda index: f"row {examples[encoded[index].question].row + 1}",
    )  # fmt: skip
    values = iter(value for value, _ in results)
    cut = {request.question for request in encoded if request.cut}
    return [
        Scored(tuple(islice(values, len(example.answers))), example.lengths, example.gold, index in cut)
        for index, example in enumerate(examples)
    ]


def accuracy(scored: Sequence[Scored], metric: Metric) -> float:
    """Share of questions whose best choice is the gold one."""
    return sum(question.correct(metric) for question in scored) / len(scored)
