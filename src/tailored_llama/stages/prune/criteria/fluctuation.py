"""How much a channel varies, times what is made of it: FLAP's weighted input feature variance."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="inputs",
    reference="An et al. 2024 (FLAP), weighted input feature variance (WIFV), not standardised",
    at_outputs=True,
)
def fluctuation(matrix: Matrix) -> Float[Tensor, " channels"]:
    """var(x_j) norm(w_:j)^2 of the columns of o and down, x_j the channel's value over all tokens.

    A channel that hardly varies could be replaced by its mean.
    """
    assert matrix.inputs is not None
    return (matrix.weight.square() * matrix.inputs.variance).sum(dim=1)
