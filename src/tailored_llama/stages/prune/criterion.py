"""What a criterion is. Each is a file of the folder criteria/, or of a plugin folder (see `plugins`).

A criterion looks at one matrix of a group at a time, at the group as a whole, or at a whole decoder layer. It
states by `needs` what has to be measured for it: nothing, the gradient of the loss, the mean squared
per-sample gradient besides, what goes into its matrices, or what goes into and comes out of a layer.
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
    """What goes into a matrix on the calibration text, by input feature: [1, fan] where the group's channels
    are the matrix's outputs, [channels, 1] where they are its inputs.

    `norm` is the root of the sum of squares over all tokens, `variance` that over all tokens (by their number
    less one). `size` is how strongly a feature responds: the norm of its head's output (of an MLP channel its
    absolute value), as a mean over the tokens of a sample and in the L2 norm over samples, shared evenly
    among the head's channels; None where the features are no group's channels.
    """

    norm: Float[Tensor, "channels fan"]
    variance: Float[Tensor, "channels fan"]
    size: Float[Tensor, "channels fan"] | None

    def of(self, block: slice) -> Inputs:
        """What belongs to a few of the channels."""
        if len(self.norm) == 1:
            return self
        size = None if self.size is None else self.size[block]
        return Inputs(self.norm[block], self.variance[block], size)


@dataclass(frozen=True)
class Matrix:
    """One weight of a group, in at least fp32, turned so that the group's channels are the rows.

    `gradient` is that of the loss of the whole calibration batch, `squared_gradient` the mean over samples
    of the squared gradient of each sample's own loss, `inputs` what goes into the matrix; None where the
    criterion does not need them.
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
"""From the residual stream before and after a layer to a score by token; a layer's is their mean."""


@dataclass(frozen=True)
class Criterion:
    """A score. One of `matrix`, `group` and `layer` is set; `reduce` overrides the recipe's reduction.
    `formula` is its definition in words.

    With `at_outputs` only the matrices that a unit's own output goes into are scored (o, down). A criterion
    of matrices or groups scores a whole layer too, by the sum over it; one of layers scores nothing else.
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
    """Make a criterion of a score of one matrix's channels; the members of a group are reduced to one
    afterwards.
    """
    if at_outputs:
        reduce = "sum"  # of one member, which has no second

    def made(score: MatrixScore) -> Criterion:
        return Criterion(
            score.__name__, needs, reference, _formula(score), reduce, matrix=score, at_outputs=at_outputs
        )

    return made


def group_criterion(*, needs: Needs, reference: str) -> Callable[[GroupScore], Criterion]:
    """Make a criterion of a score of a group's units as a whole."""

    def made(score: GroupScore) -> Criterion:
        return Criterion(score.__name__, needs, reference, _formula(score), group=score)

    return made


def layer_criterion(*, reference: str) -> Callable[[LayerScore], Criterion]:
    """Make a criterion of a score of whole layers by what goes in and comes out."""

    def made(score: LayerScore) -> Criterion:
        return Criterion(score.__name__, "stream", reference, _formula(score), layer=score)

    return made


def _formula(score: Callable[..., Tensor]) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((score.__doc__ or "").partition("\n\n")[0].split())


def criteria() -> list[Criterion]:
    """Every criterion there is, by name. Raises PluginError for a plugin that cannot be used."""
    return [criterion_named(name) for name in names(CRITERIA)]


def criterion_named(name: str) -> Criterion:
    """The criterion of that name; the recipe has checked it. Raises PluginError."""
    return load(CRITERIA, name, Criterion)
