"""The second-order term alone, with the Fisher diagonal for the Hessian's: LLM-Pruner's `param_second`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="squared_gradient",
    reference="Ma et al. 2023 (LLM-Pruner), section 3.2, element-wise, second order alone ('param_second')",
)
def taylor_second(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of abs(w a w) over a channel, a the mean over samples of each sample's squared gradient."""
    assert matrix.squared_gradient is not None
    return (matrix.weight * matrix.squared_gradient * matrix.weight).abs().sum(dim=1)
