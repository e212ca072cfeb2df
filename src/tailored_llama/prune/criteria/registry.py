"""What a criterion is, and the list of them. A file of this package adds one with a decorator.

A criterion either looks at one matrix of a group at a time, or at the group as a whole. It states by
`needs` what has to be measured for it: nothing, the gradient of the loss, or the mean squared per-sample
gradient besides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Generator, Tensor

from tailored_llama.families import Group
from tailored_llama.recipe import Reduce

Needs = Literal["nothing", "weights", "gradient", "squared_gradient"]


@dataclass(frozen=True)
class Matrix:
    """One weight of a group, in at least fp32, turned so that the group's channels are the rows.

    `gradient` is that of the loss of the whole calibration batch, `squared_gradient` the mean over samples
    of the squared gradient of each sample's own loss; None where the criterion does not need them.
    """

    weight: Float[Tensor, "channels fan"]
    gradient: Float[Tensor, "channels fan"] | None = None
    squared_gradient: Float[Tensor, "channels fan"] | None = None


MatrixScore = Callable[[Matrix], Float[Tensor, " channels"]]
GroupScore = Callable[[Group, Generator], Float[Tensor, " units"]]


@dataclass(frozen=True)
class Criterion:
    """A named score. One of `matrix` and `group` is set; `reduce` overrides the recipe's reduction."""

    name: str
    needs: Needs
    reference: str
    reduce: Reduce | None = None
    matrix: MatrixScore | None = None
    group: GroupScore | None = None


_CRITERIA: dict[str, Criterion] = {}


def matrix_criterion(
    name: str, *, needs: Needs, reference: str, reduce: Reduce | None = None
) -> Callable[[MatrixScore], MatrixScore]:
    """Register a score of one matrix's channels; the members of a group are reduced to one afterwards."""

    def add(score: MatrixScore) -> MatrixScore:
        _CRITERIA[name] = Criterion(name, needs, reference, reduce, matrix=score)
        return score

    return add


def group_criterion(name: str, *, needs: Needs, reference: str) -> Callable[[GroupScore], GroupScore]:
    """Register a score of a group's units as a whole."""

    def add(score: GroupScore) -> GroupScore:
        _CRITERIA[name] = Criterion(name, needs, reference, group=score)
        return score

    return add


def criteria() -> list[Criterion]:
    """Every criterion there is, by name."""
    return [_CRITERIA[name] for name in sorted(_CRITERIA)]


def criterion(name: str) -> Criterion:
    """The criterion of that name; the recipe has checked it."""
    return _CRITERIA[name]
