"""Magnitude by absolute value."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="weights",
    reference="Li et al. 2017 (Pruning Filters for Efficient ConvNets), section 3.1",
    reduce="mean",
)
def l1(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of abs(w) over a channel; members are averaged, as in LLM-Pruner, whatever `reduce` is."""
    return matrix.weight.abs().sum(dim=1)
