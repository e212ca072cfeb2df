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

import random
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Row, Task
from tailored_llama.scoring.outcomes import Outcome, outcomes

DRAWS = 1000
COVERED = 0.95

Interval = tuple[float, float]


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


def rank(answered: dict[str, list[Outcome]], seed: int) -> Ranking:
    """The wordings in order, from what each answered on the same shots."""
    shots = range(len(next(iter(answered.values()))))
    dice = random.Random(seed)
    draws = [dice.choices(shots, k=len(shots)) for _ in range(DRAWS)]
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in answered}
    outside: list[float] = []
    wins = dict.fromkeys(answered, 0)
    for draw in draws:
        found = {name: _means([shot[i] for i in draw]) for name, shot in answered.items()}
        best = _order(found)[0]
        wins[best] += 1
        outside += [answered[best][i][0] for i in set(shots).difference(draw)]
        for name, mean in found.items():
            means[name].append(mean)
    whole = {name: _means(shot) for name, shot in answered.items()}
    wordings = tuple(
        Effectiveness(
            prompt=name,
            accuracy=whole[name][0],
            margin=whole[name][1],
            accuracy_interval=interval([mean[0] for mean in means[name]]),
            margin_interval=interval([mean[1] for mean in means[name]]),
            first=wins[name] / DRAWS,
        )
        for name in _order(whole)
    )
    # Of one shot every draw consists, and nothing is outside.
    held_out = sum(outside) / len(outside) if outside else wordings[0].accuracy
    return Ranking(wordings, held_out)


def _means(shots: Sequence[Outcome]) -> tuple[float, float]:
    return sum(right for right, _ in shots) / len(shots), sum(margin for _, margin in shots) / len(shots)


def _order(means: dict[str, tuple[float, float]]) -> list[str]:
    return sorted(means, key=lambda name: (-means[name][0], -means[name][1], name))


def interval(values: Sequence[float]) -> Interval:
    """The middle COVERED share of bootstrapped values."""
    ordered = sorted(values)
    tail = int((1 - COVERED) / 2 * len(ordered))
    return ordered[tail], ordered[-1 - tail]
