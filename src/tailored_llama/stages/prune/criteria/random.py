"""The control: which units go is drawn by the seed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tailored_llama.families import Group
from tailored_llama.stages.prune.criterion import group_criterion


@group_criterion(needs="nothing", reference="Ma et al. 2023 (LLM-Pruner), the random baseline")
def random(group: Group, generator: Generator) -> Float[Tensor, " units"]:
    """Uniform draws times a unit's parameters: per parameter, heads and channels have the same odds."""
    return torch.rand(group.units, generator=generator, dtype=torch.float64) * group.parameters
