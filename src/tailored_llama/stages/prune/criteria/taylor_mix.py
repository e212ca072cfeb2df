"""First and second order together: LLM-Pruner's `param_mix`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="squared_gradient",
    reference="Ma et al. 2023 (LLM-Pruner), section 3.2, element-wise to second order ('param_mix')",
)
def taylor_mix(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of abs(w g - w a w / 2) over a channel, a the mean of the samples' squared gradients."""
    assert matrix.gradient is not None
    assert matrix.squared_gradient is not None
    second = matrix.weight * matrix.squared_gradient * matrix.weight
    return (matrix.weight * matrix.gradient - 0.5 * second).abs().sum(dim=1)
