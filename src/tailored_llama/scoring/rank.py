"""Ranking of prompts by effectiveness (Aftab and Davy 2024): how well a model answers in each wording.

Every wording is scored on the same labelled shots: training rows, never scored ones. Wordings are ordered by
accuracy, which is the reported metric and comparable between wordings of any form; ties are resolved by the
mean margin. Raw log-likelihood margins are not comparable: per character they favour one-letter answers, in
total they favour long answers. The margin used here is a difference of probabilities over the choices,
between -1 and 1 in every wording. For a generation task, accuracy is its main metric and the margin the
probability of the correct text (see Outcome).

The bootstrap (Efron and Tibshirani 1993) estimates the uncertainty: shots are resampled, with the same
resample for every wording, and the ranking is repeated on each. The score of the best wording of a resample
on the shots outside it estimates its score on new shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Row, Task
from tailored_llama.results import Effectiveness
from tailored_llama.scoring.bootstrap import interval, resample
from tailored_llama.scoring.outcomes import Outcome, outcomes


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
    """Rank the wordings of `task` on `rows` (training rows, never scored ones), the most effective first.

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
    """The ranking, from the outcomes of each wording on the same shots."""
    names = sorted(answered)
    # [outcome (right, margin), shots, wordings]
    table = np.array([[list(pair) for pair in answered[name]] for name in names]).transpose(2, 1, 0)
    shots = table.shape[1]
    counts = resample(np.random.default_rng([seed, shots]), shots)  # [1 + draws, shots]
    right, margin = counts @ table[0] / shots, counts @ table[1] / shots  # [1 + draws, wordings]
    # lexsort: the last key is the primary one; ties keep the order of the names.
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
    # With one shot, every draw contains it and no shot is held out.
    held_out = float(left_out.mean()) if left_out.size else wordings[0].accuracy
    return Ranking(wordings, held_out)
