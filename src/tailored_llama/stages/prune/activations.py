"""Statistics of a matrix's inputs on the calibration text, accumulated batch by batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.stages.prune.meta_model import Hidden


class InputStatistics:
    """Norms, variances and response sizes of the inputs of one matrix, per input feature.

    Features form blocks of size `block` (the head_dim of a head, 1 for MLP channels); None if they are not
    the output of a head or MLP channel.
    """

    def __init__(self, block: int | None) -> None:
        self.block = block
        self.tokens = 0
        self.mean = torch.zeros(())
        self.deviations = torch.zeros(())
        self.responses = torch.zeros(())

    def add(self, inputs: Hidden) -> None:
        """Add one batch of complete samples [samples, length, features]."""
        variance, mean = torch.var_mean(inputs.flatten(0, 1).double(), dim=0, correction=0)
        count = inputs.shape[0] * inputs.shape[1]
        # Merge means and sums of squared deviations without subtracting large sums (Chan et al. 1979,
        # "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances").
        share = count / (self.tokens + count)
        step = mean - self.mean.to(mean)
        self.deviations = self.deviations.to(mean) + count * variance + step**2 * share * self.tokens
        self.mean = self.mean.to(mean) + step * share
        self.tokens += count
        if self.block:
            blocks = inputs.view(*inputs.shape[:2], -1, self.block)
            norms = torch.linalg.vector_norm(blocks, dim=3)  # [samples, length, blocks]
            self.responses = self.responses.to(mean) + norms.double().mean(dim=1).square().sum(dim=0)

    def norm(self) -> Float[Tensor, " features"]:
        """Square root of the sum of squares over all tokens."""
        return (self.deviations + self.tokens * self.mean**2).sqrt()

    def variance(self) -> Float[Tensor, " features"]:
        """Variance over all tokens, with denominator n - 1."""
        return self.deviations / (self.tokens - 1)

    def size(self) -> Float[Tensor, " features"] | None:
        """The L2 norm over samples of a block's mean norm over tokens, divided evenly over the block."""
        if not self.block:
            return None
        return (self.responses.sqrt() / self.block).repeat_interleave(self.block)
