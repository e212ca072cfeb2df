"""The paired bootstrap (Efron and Tibshirani 1993), used for all confidence intervals.

The measured items (questions, shots, seeds) are resampled with replacement, with the same resample for
everything that is compared. The statistic is computed on every resample; its interval is the central 95% of
the values.
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
"""{task: for each seed, the score of every question} of one stage."""


def resample(generator: np.random.Generator, count: int) -> Int[NDArray[np.int64], " draws count"]:
    """The number of occurrences of each of `count` items in each draw; the first row is the data
    (all ones).
    """
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.vstack([np.ones(count, dtype=np.int64), drawn])


def interval(values: Float[NDArray[np.float64], " draws"]) -> Interval:
    """The interval that covers the central COVERED share of the values of all draws; NaN is ignored."""
    tail = (1 - COVERED) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Draws:
    """A statistic on the data (the first value) and on every draw."""

    values: Float[NDArray[np.float64], " draws"]

    def summary(self) -> dict[str, float]:
        """`value`, and the bounds `low` and `high` of its interval."""
        low, high = interval(self.values[1:])
        return {"value": float(self.values[0]), "low": low, "high": high}


def mean_draws(answers: Answers) -> Draws:
    """The mean over tasks, seeds and questions, with seeds and questions resampled.

    Answers of equal shape use the same draws.
    """
    total: NDArray[np.float64] | float = 0.0
    for task, seeds in answers.items():
        right = np.array(seeds, dtype=np.float64)  # [seeds, questions]
        total = total + _questions(task, right.shape[1]) @ right.T  # [1 + draws, seeds]
    count = len(next(iter(answers.values())))
    return Draws((total * _seeds(count)).sum(axis=1) / len(answers))


def ratio(numerator: Draws, denominator: Draws, offset: float = 0.0) -> Draws | None:
    """(numerator - offset) / (denominator - offset); None if the denominator is not positive."""
    below = denominator.values - offset
    if below[0] <= 0:
        return None
    return Draws((numerator.values - offset) / np.where(below > 0, below, np.nan))


def difference(minuend: Draws, subtrahend: Draws) -> Draws:
    """`minuend` minus `subtrahend`, on the same draws."""
    return Draws(minuend.values - subtrahend.values)


@cache
def _questions(task: str, count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, questions]."""
    return resample(np.random.default_rng([zlib.crc32(task.encode()), count]), count) / count


@cache
def _seeds(count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, seeds]."""
    return resample(np.random.default_rng([0, count]), count) / count
