"""What became of each question, for tasks of either kind: how right the answer was, and how sure."""

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
    """Of one question: `right`, between 0 and 1 by the task's main metric, and `margin`.

    The margin of a choice is the right one's probability over the best other, between -1 and 1. A written
    answer has no other beside it: its margin is the probability of the right text, as a geometric mean
    over its tokens, between 0 and 1.
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
    """The outcome of every example of `task`, in order. Raises DataError for one that no model can answer."""
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
    """The geometric mean of the probabilities of the tokens of each right answer, its end among them."""
    asked = list(requests(tokenizer, examples, max_length, embedding_rows(model)))
    found = loglikelihoods(
        model, [(r.ids, r.answer) for r in asked], description=description,
        name=lambda index: f"row {examples[asked[index].question].row + 1}",
    )  # fmt: skip
    return [math.exp(value / len(r.answer)) for r, (value, _) in zip(asked, found, strict=True)]
