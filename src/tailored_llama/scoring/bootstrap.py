"""The paired bootstrap (Efron and Tibshirani 1993), for every interval that the project prints.

What was measured (questions, shots, seeds) is drawn anew with replacement, the same draw for everything that
is compared; the figure is computed on every draw, and its interval is the middle 95% of the results.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

DRAWS = 2000
COVERED = 0.95

Interval = tuple[float, float]
Answers = Mapping[str, Sequence[Sequence[float]]]
"""Of one stage: for each task, for each seed, the score of every question."""


def resample(generator: np.random.Generator, count: int) -> Int[NDArray[np.int64], " draws count"]:
    """How often each of `count` items occurs in each draw; the first row is the data: each item once."""
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.vstack([np.ones(count, dtype=np.int64), drawn])


def interval(values: Float[NDArray[np.float64], " draws"]) -> Interval:
    """The ends of the middle COVERED share of values that were computed on draws. NaN is left out."""
    tail = (1 - COVERED) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Draws:
    """A figure on the data (the first value) and on every draw."""

    values: Float[NDArray[np.float64], " draws"]

    def summary(self) -> dict[str, float]:
        """`value`, and the ends `low` and `high` of its interval."""
        low, high = interval(self.values[1:])
        return {"value": float(self.values[0]), "low": low, "high": high}


def mean_draws(answers: Answers) -> Draws:
    """The mean over tasks, seeds and questions; seeds and questions are drawn anew.

    Answers of equal shapes see the same draws.
    """
    total: NDArray[np.float64] | float = 0.0
    for task, seeds in answers.items():
        right = np.array(seeds, dtype=np.float64)  # [seeds, questions]
        total = total + _questions(task, right.shape[1]) @ right.T  # [1 + draws, seeds]
    count = len(next(iter(answers.values())))
    return Draws((total * _seeds(count)).sum(axis=1) / len(answers))


def ratio(one: Draws, other: Draws, less: float = 0.0) -> Draws | None:
    """`one` over `other`, both minus `less`; None where the denominator is not positive."""
    below = other.values - less
    if below[0] <= 0:
        return None
    return Draws((one.values - less) / np.where(below > 0, below, np.nan))


def difference(one: Draws, other: Draws) -> Draws:
    """`one` minus `other`, on the same draws."""
    return Draws(one.values - other.values)


@cache
def _questions(task: str, count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, questions]."""
    return resample(np.random.default_rng([zlib.crc32(task.encode()), count]), count) / count


@cache
def _seeds(count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, seeds]."""
    return resample(np.random.default_rng([0, count]), count) / count
