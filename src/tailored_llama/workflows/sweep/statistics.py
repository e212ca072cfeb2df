"""Means over seeds, and intervals that hold both what seeds and what test questions leave open.

Paired bootstrap (Efron and Tibshirani 1993): seeds are drawn anew with replacement, and so are the questions
of each task, the same draw for every stage and setting; every figure is computed on every draw, and its
interval is the middle 95% of what comes out.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

DRAWS = 2000
COVERED = 0.95

Answers = Mapping[str, Sequence[Sequence[float]]]
"""Of one stage: for each task, for each seed, how right every question was answered."""


@dataclass(frozen=True)
class Draws:
    """A stage's mean over tasks and seeds: as it is (the first), and on every draw."""

    values: Float[NDArray[np.float64], " draws"]

    def summary(self) -> dict[str, float]:
        """`value`, and the ends `low` and `high` of its interval."""
        tail = (1 - COVERED) / 2
        low, high = np.nanquantile(self.values[1:], [tail, 1 - tail])
        return {"value": float(self.values[0]), "low": float(low), "high": float(high)}


def stage_draws(answers: Answers) -> Draws:
    """The mean of one stage on the data and on DRAWS draws; of equal shapes all stages see the same draws."""
    total: NDArray[np.float64] | float = 0.0
    for task, seeds in answers.items():
        right = np.array(seeds, dtype=np.float64)  # [seeds, questions]
        total = total + _questions(task, right.shape[1]) @ right.T  # [1 + draws, seeds]
    count = len(next(iter(answers.values())))
    return Draws((total * _seeds(count)).sum(axis=1) / len(answers))


@cache
def _questions(task: str, count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, questions]: all alike, then as often as each was drawn."""
    return _weights(np.random.default_rng([zlib.crc32(task.encode()), count]), count)


@cache
def _seeds(count: int) -> NDArray[np.float64]:
    """Weights [1 + draws, seeds]."""
    return _weights(np.random.default_rng([0, count]), count)


def _weights(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.vstack([np.ones(count), drawn]) / count


def ratio(one: Draws, other: Draws, less: float = 0.0) -> Draws | None:
    """`one` over `other`, both after taking `less` away; None where that is nothing to divide by."""
    below = other.values - less
    if below[0] <= 0:
        return None
    return Draws((one.values - less) / np.where(below > 0, below, np.nan))


def difference(one: Draws, other: Draws) -> Draws:
    """`one` minus `other`, on the same draws."""
    return Draws(one.values - other.values)
