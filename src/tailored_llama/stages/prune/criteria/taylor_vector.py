"""First-order Taylor expansion of a whole channel: LLM-Pruner's `vectorize`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="gradient",
    reference="Ma et al. 2023 (LLM-Pruner), section 3.2, vector-wise to first order ('vectorize')",
)
def taylor_vector(matrix: Matrix) -> Float[Tensor, " channels"]:
    """abs of the sum of w g over a channel: what moves the loss up and down cancels before the abs."""
    assert matrix.gradient is not None
    return (matrix.weight * matrix.gradient).sum(dim=1).abs()
