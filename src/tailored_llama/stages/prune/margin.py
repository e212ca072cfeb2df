"""The objective `margin`: the margin of the correct choice over the best wrong choice.

For question q with choices c, value(c) = log p(c | context), divided by the choice's length in characters if
the task's main metric is acc_norm, exactly as in scoring. The loss is the negative mean margin,

    - 1/Q sum_q [ value(gold_q) - max over wrong c of value(c) ],

whose gradient is that of a weighted sum of log-likelihoods, once the best wrong choice is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tailored_llama.data import Example
from tailored_llama.data.task import Metric
from tailored_llama.errors import DataError
from tailored_llama.scoring import Request, requests
from tailored_llama.stages.prune.objective import Likelihoods, Targets, Tokens


@dataclass(frozen=True)
class Question:
    """One question: its encoded choices, and the divisors of their log-likelihoods."""

    choices: tuple[Request, ...]
    lengths: tuple[float, ...]
    gold: int

    @property
    def longest(self) -> int:
        """Number of tokens of the longest choice with its context."""
        return max(len(choice.ids) for choice in self.choices)


def questions(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    metric: Metric,
    max_length: int,
    vocabulary: int | None = None,
) -> list[Question]:
    """Rendered examples of one task as questions, contexts truncated on the left to `max_length` tokens.

    Raises DataError for an answer that does not fit and for a question without a wrong choice,
    CheckpointError for a token outside the model's `vocabulary`.
    """
    encoded = requests(tokenizer, examples, max_length, vocabulary)
    result = []
    for example in examples:
        if len(example.answers) < 2:
            raise DataError(
                f"prune.objective: margin compares choices, and row {example.row} has only one; "
                "remove the row, or set prune.objective: lm"
            )
        lengths = example.lengths if metric == "acc_norm" else (1,) * len(example.answers)
        choices = tuple(next(encoded) for _ in example.answers)
        result.append(Question(choices, tuple(map(float, lengths)), example.gold))
    return result


class ChoiceMargin:
    """The negative mean margin of `questions`, in nats (acc) or nats per character (acc_norm)."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = sorted(questions, key=lambda question: question.longest)
        self.samples = len(questions)
        self._read: list[list[Question]] = []

    def batches(self, per_sample: bool, tokens_at_once: int) -> Sequence[Tokens]:
        self._read = []
        for question in self.questions:
            batch = [*self._read[-1], question] if self._read else [question]
            padded = question.longest * sum(len(each.choices) for each in batch)
            if len(batch) > 1 and not per_sample and padded <= tokens_at_once:
                self._read[-1] = batch
            else:
                self._read.append([question])
        return [_padded([choice.ids for q in batch for choice in q.choices]) for batch in self._read]

    def targets(self, batch: int, likelihoods: Likelihoods) -> Targets:
        batch_questions = self._read[batch]
        choices = [choice for question in batch_questions for choice in question.choices]
        width = max(len(choice.ids) for choice in choices)
        labels = torch.zeros(len(choices), width, dtype=torch.long)
        answers = torch.zeros(len(choices), width, dtype=torch.bool)
        for row, choice in enumerate(choices):
            end = len(choice.ids)
            labels[row, end - len(choice.answer) : end] = torch.tensor(choice.answer)
            answers[row, end - len(choice.answer) : end] = True
        by_choice = torch.split(likelihoods(labels, answers).cpu(), answers.sum(dim=1).tolist())
        weights = torch.zeros(len(choices), dtype=torch.float64)
        first = 0
        for question in batch_questions:
            choice_values = by_choice[first : first + len(question.choices)]
            values = [
                float(v.sum()) / length for v, length in zip(choice_values, question.lengths, strict=True)
            ]
            wrong = [choice for choice in range(len(choice_values)) if choice != question.gold]
            best = max(wrong, key=lambda choice: values[choice])
            weights[first + question.gold] = 1 / (question.lengths[question.gold] * self.samples)
            weights[first + best] = -1 / (question.lengths[best] * self.samples)
            first += len(choice_values)
        return Targets(labels, answers * weights[:, None])


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Pad on the right, where causal attention does not reach."""
    padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = torch.tensor(ids)
    return padded
