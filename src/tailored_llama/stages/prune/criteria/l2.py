"""Magnitude by squares."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(needs="weights", reference="Ma et al. 2023 (LLM-Pruner), the L2 baseline", reduce="mean")
def l2(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of w^2 over a channel, no root; members are averaged, as in LLM-Pruner, whatever `reduce` is."""
    return matrix.weight.square().sum(dim=1)
