"""First-order Taylor expansion, element by element: LLM-Pruner's `param_first`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="gradient",
    reference="Ma et al. 2023 (LLM-Pruner), section 3.2, element-wise to first order ('param_first')",
)
def taylor(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of abs(w g) over a channel, g the gradient of the calibration batch's loss."""
    assert matrix.gradient is not None
    return (matrix.weight * matrix.gradient).abs().sum(dim=1)
