"""How strongly a unit responds, whatever is made of it: Minitron's activation-based importance."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(
    needs="inputs",
    reference="Muralidharan et al. 2024 (Minitron), activation-based importance, batch L2, sequence mean",
    at_outputs=True,
)
def activation(matrix: Matrix) -> Float[Tensor, " channels"]:
    """Norm of a head's output, abs of an MLP channel's value: mean over a sample's tokens, L2 over samples.

    The query heads of one KV head are added up.
    """
    assert matrix.inputs is not None
    assert matrix.inputs.size is not None
    return matrix.inputs.size.squeeze(1)
