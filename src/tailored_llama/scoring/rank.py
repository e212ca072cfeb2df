"""Which wording a model answers best in: an effective prompt, as Aftab and Davy (2024) ask for one, measured.

Every wording is asked on the same labelled shots, which are training rows, never scored ones. The order is
by accuracy, because that is what a task reports and what compares between wordings of any form; among
equals by the mean margin. Raw log-likelihood margins would not do: per character they favour a wording
answered by one letter, in all they favour long answers. The margin here is one of probabilities over the
choices, between -1 and 1 in every wording. Of a task whose answers are written, accuracy is its main metric
and the margin the probability of the right text (see Outcome).

How far a number of shots can be trusted is said by the bootstrap (Efron and Tibshirani 1993): shots are
drawn anew with replacement, the same draw for every wording, and the order is settled again on each draw.
What the best wording of a draw scores on the shots outside it is what choosing is worth on shots that were
not chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Row, Task
from tailored_llama.scoring.bootstrap import Interval, interval, resample
from tailored_llama.scoring.outcomes import Outcome, outcomes


@dataclass(frozen=True)
class Effectiveness:
    """How well a model answers in one wording, before any tuning.

    `accuracy` and the mean `margin` of the right choice's probability over the best other, with intervals
    that cover 95%; `first` is the share of draws in which this wording was the best.
    """

    prompt: str
    accuracy: float
    margin: float
    accuracy_interval: Interval
    margin_interval: Interval
    first: float


@dataclass(frozen=True)
class Ranking:
    """The wordings of a task, the most effective first.

    `held_out` is the accuracy of the best wording of every draw on the shots outside that draw.
    """

    wordings: tuple[Effectiveness, ...]
    held_out: float


def rank_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    *,
    seed: int = 42,
) -> Ranking:
    """Every wording of `task` on `rows` (training rows, never scored ones), the most effective first.

    The order is by accuracy, then margin, then name. Raises DataError for a row that no model can score.
    """
    return rank(
        {
            name: outcomes(
                model, tokenizer, task, task.examples(name, rows), description=f"{task.name}: prompt {name}"
            )
            for name in sorted(task.prompts)
        },
        seed,
    )


def rank(answered: Mapping[str, Sequence[Outcome]], seed: int) -> Ranking:
    """The wordings in order, from what each answered on the same shots."""
    names = sorted(answered)
    # [outcome (right, margin), shots, wordings]
    table = np.array([[list(pair) for pair in answered[name]] for name in names]).transpose(2, 1, 0)
    shots = table.shape[1]
    counts = resample(np.random.default_rng([seed, shots]), shots)  # [1 + draws, shots]
    right, margin = counts @ table[0] / shots, counts @ table[1] / shots  # [1 + draws, wordings]
    # The last key counts first; among equals the order of the names remains.
    order = np.lexsort((-margin, -right), axis=-1)
    best = order[1:, 0]
    outside = [table[0][drawn == 0, winner] for drawn, winner in zip(counts[1:], best, strict=True)]
    left_out = np.concatenate(outside)
    wordings = tuple(
        Effectiveness(
            prompt=names[place],
            accuracy=float(right[0, place]),
            margin=float(margin[0, place]),
            accuracy_interval=interval(right[1:, place]),
            margin_interval=interval(margin[1:, place]),
            first=float(np.mean(best == place)),
        )
        for place in order[0]
    )
    # With one shot every draw consists of it, and nothing is outside.
    held_out = float(left_out.mean()) if left_out.size else wordings[0].accuracy
    return Ranking(wordings, held_out)
