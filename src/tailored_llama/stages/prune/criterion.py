"""Definition of a criterion. Each one is a file in the folder criteria/ or in a plugin folder (see
`plugins`).

A criterion scores one matrix of a group at a time, a complete group, or a complete decoder layer. `needs`
declares the measurements that it requires: none, the gradient of the loss, also the mean squared per-sample
gradient, the inputs of its matrices, or the inputs and outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Generator, Tensor

from tailored_llama.families import Group
from tailored_llama.plugins import CRITERIA, load, names
from tailored_llama.recipe import Reduce

Needs = Literal["nothing", "weights", "gradient", "squared_gradient", "inputs", "stream"]


@dataclass(frozen=True)
class Inputs:
    """Statistics of a matrix's inputs on the calibration text, per input feature: [1, fan] if the group's
    channels are the matrix's outputs, [channels, 1] if they are its inputs.

    `norm` is the square root of the sum of squares over all tokens, `variance` the variance over all tokens
    (n - 1). `size` is the response of a feature: the norm of its head's output (for an MLP channel the
    absolute value), averaged over the tokens of a sample, in the L2 norm over samples, divided evenly over
    the head's channels; None if the features are not the channels of a group.
    """

    norm: Float[Tensor, "channels fan"]
    variance: Float[Tensor, "channels fan"]
    size: Float[Tensor, "channels fan"] | None

    def of(self, block: slice) -> Inputs:
        """The statistics for a block of channels."""
        if len(self.norm) == 1:
            return self
        size = None if self.size is None else self.size[block]
        return Inputs(self.norm[block], self.variance[block], size)


@dataclass(frozen=True)
class Matrix:
    """One weight of a group, in at least fp32, transposed so that the group's channels are the rows.

    `gradient` is the gradient of the loss of the complete calibration batch, `squared_gradient` the mean over
    samples of the squared gradient of each sample's loss, `inputs` the statistics of the matrix's inputs;
    None if the criterion does not need them.
    """

    weight: Float[Tensor, "channels fan"]
    gradient: Float[Tensor, "channels fan"] | None = None
    squared_gradient: Float[Tensor, "channels fan"] | None = None
    inputs: Inputs | None = None


MatrixScore = Callable[[Matrix], Float[Tensor, " channels"]]
GroupScore = Callable[[Group, Generator], Float[Tensor, " units"]]
LayerScore = Callable[
    [Float[Tensor, "samples length width"], Float[Tensor, "samples length width"]],
    Float[Tensor, "samples length"],
]
"""From the residual stream before and after a layer to a score per token; the layer's score is their mean."""


@dataclass(frozen=True)
class Criterion:
    """A scoring function: one of `matrix`, `group` and `layer` is set. `reduce` overrides the recipe's
    reduction; `formula` describes the score.

    With `at_outputs` only the matrices that read a unit's output are scored (o, down). A criterion of
    matrices or groups also scores layers, by the sum over their units; one of layers scores only layers.
    """

    name: str
    needs: Needs
    reference: str
    formula: str = ""
    reduce: Reduce | None = None
    matrix: MatrixScore | None = None
    group: GroupScore | None = None
    layer: LayerScore | None = None
    at_outputs: bool = False


def matrix_criterion(
    *, needs: Needs, reference: str, reduce: Reduce | None = None, at_outputs: bool = False
) -> Callable[[MatrixScore], Criterion]:
    """Create a criterion from a score of the channels of one matrix; the scores of a group's members are
    reduced afterwards.
    """
    if at_outputs:
        reduce = "sum"  # there is only one member

    def create(score: MatrixScore) -> Criterion:
        return Criterion(
            score.__name__, needs, reference, _formula(score), reduce, matrix=score, at_outputs=at_outputs
        )

    return create


def group_criterion(*, needs: Needs, reference: str) -> Callable[[GroupScore], Criterion]:
    """Create a criterion from a score of the units of a group."""

    def create(score: GroupScore) -> Criterion:
        return Criterion(score.__name__, needs, reference, _formula(score), group=score)

    return create


def layer_criterion(*, reference: str) -> Callable[[LayerScore], Criterion]:
    """Create a criterion from a score of layers, computed from their inputs and outputs."""

    def create(score: LayerScore) -> Criterion:
        return Criterion(score.__name__, "stream", reference, _formula(score), layer=score)

    return create


def _formula(score: Callable[..., Tensor]) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((score.__doc__ or "").partition("\n\n")[0].split())


def known_criteria() -> list[Criterion]:
    """All criteria, sorted by name. Raises PluginError for an invalid plugin."""
    return [criterion_named(name) for name in names(CRITERIA)]


def criterion_named(name: str) -> Criterion:
    """The criterion of that name, which the recipe has validated. Raises PluginError."""
    return load(CRITERIA, name, Criterion)
