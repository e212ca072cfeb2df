"""How much a whole decoder layer changes what passes through it: ShortGPT's block influence."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tailored_llama.stages.prune.criterion import layer_criterion


@layer_criterion(
    reference="Men et al. 2024 (ShortGPT), block influence, equation 1; scores whole layers only",
)
def block_influence(
    before: Float[Tensor, "samples length width"], after: Float[Tensor, "samples length width"]
) -> Float[Tensor, "samples length"]:
    """1 - cos(x_i, x_i+1) of the residual stream before and after layer i, averaged over all tokens."""
    return 1 - functional.cosine_similarity(before, after, dim=-1)
