"""From the members' scores to one score a unit, in LLM-Pruner's order: per channel over the members, then
over channels.

q and o of grouped-query attention have several query heads to a unit; theirs are added up, channel by
channel, before the members meet. With one query head to a KV head this is LLM-Pruner's arithmetic exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.families import Group
from tailored_llama.recipe import Reduce


def fold(scores: Float[Tensor, " owned"], group: Group) -> Float[Tensor, "units channels"]:
    """Scores of one matrix's rows or columns, with the query heads of a unit added up."""
    return scores.view(group.units, -1, group.channels).sum(dim=1)


def over_members(
    scores: Sequence[Float[Tensor, "units channels"]], how: Reduce
) -> Float[Tensor, "units channels"]:
    """One score a channel from those of the members, in member order."""
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
