"""Reduction of the members' scores to one score per unit, in LLM-Pruner's order: per channel over members,
then over channels.

In grouped-query attention, q and o have several query heads per unit; these are summed channel by channel
before the reduction over members. With one query head per KV head this is exactly LLM-Pruner's computation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.families import Group
from tailored_llama.recipe import Reduce


def fold(scores: Float[Tensor, " owned"], group: Group) -> Float[Tensor, "units channels"]:
    """Scores of one matrix's rows or columns, summed over the query heads of a unit."""
    return scores.view(group.units, -1, group.channels).sum(dim=1)


def over_members(
    scores: Sequence[Float[Tensor, "units channels"]], how: Reduce
) -> Float[Tensor, "units channels"]:
    """One score per channel from those of the members, in member order."""
    stacked = torch.stack(list(scores))
    if how in ("first", "second"):
        return stacked[("first", "second").index(how)]
    if how == "max":
        return stacked.amax(dim=0)
    if how == "prod":
        return stacked.prod(dim=0)
    return stacked.sum(dim=0) if how == "sum" else stacked.mean(dim=0)


def over_channels(scores: Float[Tensor, "units channels"]) -> Float[Tensor, " units"]:
    """A unit's score: the sum over its channels (the head_dim of a head), whatever `reduce` is."""
    return scores.sum(dim=1)
