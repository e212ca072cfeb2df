"""The score and the margin of each question, for tasks of either kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, Task
from tailored_llama.scoring.choices import score
from tailored_llama.scoring.forward import loglikelihoods
from tailored_llama.scoring.generation import write
from tailored_llama.scoring.requests import embedding_rows, example_length, requests
from tailored_llama.scoring.text_metrics import text_scores


class Outcome(NamedTuple):
    """The result of one question: `right`, the task's main metric between 0 and 1, and `margin`.

    The margin of a multiple-choice question is the probability of the correct choice minus that of the best
    other choice, between -1 and 1. For a generation task it is the probability of the correct text, as a
    geometric mean over its tokens, between 0 and 1.
    """

    right: float
    margin: float


def outcomes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Sequence[Example],
    *,
    description: str,
) -> list[Outcome]:
    """The outcome of every example of `task`, in order. Raises DataError for an example that does not fit."""
    longest = example_length(task, model)
    if task.kind == "choice":
        scored = score(model, tokenizer, examples, max_length=longest, description=description)
        return [Outcome(float(q.correct(task.metric)), q.margin(task.metric)) for q in scored]
    written = write(model, tokenizer, examples, task.generation, max_length=longest, description=description)
    margins = token_probabilities(model, tokenizer, examples, longest, description=description)
    return [
        Outcome(text_scores(answer.text, example.references)[task.metric], margin)
        for answer, example, margin in zip(written, examples, margins, strict=True)
    ]


def token_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int,
    *,
    description: str,
) -> list[float]:
    """For each correct answer, the geometric mean of its token probabilities, including the end token."""
    encoded = list(requests(tokenizer, examples, max_length, embedding_rows(model)))
    results = loglikelihoods(
        model, [(r.ids, r.answer) for r in encoded], description=description,
        name=lambda index: f"row {examples[encoded[index].question].row + 1}",
    )  # fmt: skip
    return [math.exp(value / len(r.answer)) for r, (value, _) in zip(encoded, results, strict=True)]
