"""Magnitude of weights times norm of what they weigh."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="inputs",
    reference="Sun et al. 2023 (Wanda), section 3, equation 1, summed over a channel",
)
def wanda(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Sum of abs(w_ij) norm(x_j) over a channel, x_j the matrix's input feature j over all tokens."""
    assert matrix.inputs is not None
    return (matrix.weight.abs() * matrix.inputs.norm).sum(dim=1)
