"""The cut: a view of weights in which only the kept units are left, sliced as each tensor is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights
from tailored_llama.families import Group, Kept, LayerWidths, groups, widths, with_widths

Index = Int[Tensor, " kept"]


class CutWeights:
    """`weights` without the units that `kept` leaves out; itself a `Weights`, so it can be read, scored,
    cut or written.

    A kept index of a tensor is one that a kept unit owns, or that no unit owns. Nothing is copied until a
    tensor is asked for, and only that tensor then.
    """

    def __init__(self, weights: Weights, kept: Kept) -> None:
        self.source = weights
        self.kept = kept
        self.config: PreTrainedConfig = with_widths(weights.config, widths_after(weights.config, kept))
        self._indices = _kept_indices(weights, kept)

    def names(self) -> list[str]:
        """As the source's: a cut removes no tensor."""
        return self.source.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape after the cut, without reading the tensor."""
        shape = list(self.source.shape(name))
        for axis, index in self._indices.get(name, {}).items():
            shape[axis] = len(index)
        return tuple(shape)

    def dtype(self, name: str) -> torch.dtype:
        """As the source's."""
        return self.source.dtype(name)

    def tensor(self, name: str) -> Tensor:
        """The kept part of one tensor: a copy where it was cut, the source's own otherwise."""
        tensor = self.source.tensor(name)
        for axis, index in self._indices.get(name, {}).items():
            tensor = tensor.index_select(axis, index.to(tensor.device))
        return tensor


def widths_after(config: PreTrainedConfig, kept: Kept) -> list[LayerWidths]:
    """The widths of `config`'s layers when only the kept units are left."""
    after = []
    for layer, width in enumerate(widths(config)):
        kv_heads = len(kept.get("heads", {}).get(layer, range(width.kv_heads)))
        mlp = len(kept.get("mlp", {}).get(layer, range(width.mlp)))
        after.append(LayerWidths(kv_heads * (width.heads // width.kv_heads), kv_heads, mlp))
    return after


def _kept_indices(weights: Weights, kept: Kept) -> Mapping[str, Mapping[int, Index]]:
    """For each tensor and axis that is cut, the indices that stay, ascending."""
    masks: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for group in groups(weights.config):
        units = kept.get(group.kind, {}).get(group.layer)
        if units is None:
            continue
        stays = torch.zeros(group.units, dtype=torch.bool)
        stays[units] = True
        _mask(weights, group, stays, masks)
    return {
        name: {axis: mask.nonzero().flatten() for axis, mask in axes.items()} for name, axes in masks.items()
    }


def _mask(weights: Weights, group: Group, stays: Tensor, masks: dict[str, dict[int, Tensor]]) -> None:
    for piece in group.slices:
        length = weights.shape(piece.tensor)[piece.axis]
        # Several slices may share an axis, as in fused projections: what none of them owns stays.
        mask = masks[piece.tensor].setdefault(piece.axis, torch.ones(length, dtype=torch.bool))
        owned = slice(piece.offset, piece.offset + group.units * piece.stride)
        mask[owned] = stays.repeat_interleave(piece.stride)
