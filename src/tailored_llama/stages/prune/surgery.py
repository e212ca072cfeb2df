"""The cut: a view of weights in which only the kept units are left, sliced as each tensor is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights
from tailored_llama.families import (
    MODEL,
    Group,
    Kept,
    LayerWidths,
    groups,
    in_layer,
    layer_of,
    rescaling,
    widths,
    with_widths,
)

Index = Int[Tensor, " kept"]


class CutWeights:
    """`weights` without the units that `kept` leaves out; itself a `Weights`, so it can be read, scored,
    cut or written.

    A kept index of a tensor is one that a kept unit owns, or that no unit owns; where units of several kinds
    own an index, all of them have to stay. Layers that are left are numbered anew. Nothing is copied until a
    tensor is asked for, and only that tensor then.
    """

    def __init__(self, weights: Weights, kept: Kept) -> None:
        self.source = weights
        self.kept = kept
        self.config: PreTrainedConfig = config_after(weights.config, kept)
        self._indices = _kept_indices(weights, kept)
        self._names = _new_names(weights, layers_after(weights.config, kept))
        # What depends on the residual width, and not on its channels, keeps the value that it had.
        self._rescaled = rescaling(weights.config, int(self.config.hidden_size))

    def names(self) -> list[str]:
        """As the source's, but for layers that are gone and the numbers of those behind them."""
        return list(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape after the cut, without reading the tensor."""
        old = self._names[name]
        shape = list(self.source.shape(old))
        for axis, index in self._indices.get(old, {}).items():
            shape[axis] = len(index)
        return tuple(shape)

    def dtype(self, name: str) -> torch.dtype:
        """As the source's."""
        return self.source.dtype(self._names[name])

    def tensor(self, name: str) -> Tensor:
        """The kept part of one tensor: a copy where it was cut, the source's own otherwise."""
        old = self._names[name]
        tensor = self.source.tensor(old)
        for axis, index in self._indices.get(old, {}).items():
            tensor = _select(tensor, axis, index)
        if old in self._rescaled:
            factor, shift = self._rescaled[old]
            tensor = ((tensor.double() + shift) * factor - shift).to(tensor.dtype)
        return tensor


def _select(tensor: Tensor, axis: int, index: Index) -> Tensor:
    """Some indices of an axis, copied."""
    if tensor.device.type != "cpu" or axis == 0:
        return tensor.index_select(axis, index.to(tensor.device))
    # Of the columns of a large matrix NumPy's copy takes a third of the time. It knows no bf16: bits are
    # moved.
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    stays = np.zeros(tensor.shape[axis], dtype=bool)
    stays[index.numpy()] = True
    columns = np.compress(stays, tensor.contiguous().view(bits).numpy(), axis=axis)
    return torch.from_numpy(columns).view(tensor.dtype)


def layers_after(config: PreTrainedConfig, kept: Kept) -> list[int]:
    """The old numbers of the decoder layers that are left."""
    return kept.get("layers", {}).get(MODEL, list(range(len(widths(config)))))


def widths_after(config: PreTrainedConfig, kept: Kept) -> list[LayerWidths]:
    """The widths of the layers that are left when only the kept units are."""
    before = widths(config)
    after = []
    for layer in layers_after(config, kept):
        heads, kv_heads, mlp = before[layer].heads, before[layer].kv_heads, before[layer].mlp
        queries = heads // kv_heads
        there = set(kept.get("heads", {}).get(layer, range(kv_heads)))
        asked = kept.get("query_heads", {}).get(layer, range(heads))
        left = sum(query // queries in there for query in asked)
        after.append(LayerWidths(left, len(there), len(kept.get("mlp", {}).get(layer, range(mlp)))))
    return after


def config_after(config: PreTrainedConfig, kept: Kept) -> PreTrainedConfig:
    """The config of the model in which only the kept units are left."""
    hidden = len(kept.get("hidden", {}).get(MODEL, range(int(config.hidden_size))))
    return with_widths(config, widths_after(config, kept), hidden=hidden, layers=layers_after(config, kept))


def _new_names(weights: Weights, layers: list[int]) -> dict[str, str]:
    """{name after the cut: name before}, in the order of the source."""
    numbers = {old: new for new, old in enumerate(layers)}
    names = {}
    for old in weights.names():
        layer = layer_of(old)
        if layer is None:
            names[old] = old
        elif layer in numbers:
            names[in_layer(old, numbers[layer])] = old
    return names


def _kept_indices(weights: Weights, kept: Kept) -> Mapping[str, Mapping[int, Index]]:
    """For each tensor and axis that is cut, the indices that stay, ascending."""
    masks: dict[str, dict[int, Bool[Tensor, " length"]]] = defaultdict(dict)
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
        mask[piece.offset : piece.offset + group.units * piece.stride] &= stays.repeat_interleave(
            piece.stride
        )
