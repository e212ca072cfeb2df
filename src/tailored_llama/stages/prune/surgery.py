"""The cut: a view of weights with only the kept units; tensors are sliced when they are read."""

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
    """`weights` restricted to the units in `kept`; itself a `Weights`, so it can be read, scored, cut or
    written.

    An index of a tensor is kept if a kept unit owns it or no unit owns it; if units of several kinds own an
    index, all of them must be kept. The remaining layers are renumbered. Tensors are copied only when they
    are read.
    """

    def __init__(self, weights: Weights, kept: Kept) -> None:
        self.source = weights
        self.kept = kept
        self.config: PreTrainedConfig = config_after(weights.config, kept)
        self._indices = _kept_indices(weights, kept)
        self._names = _new_names(weights, layers_after(weights.config, kept))
        # Values that depend on the residual width, but not on single channels, are preserved by rescaling.
        self._rescaled = rescaling(weights.config, int(self.config.hidden_size))

    def names(self) -> list[str]:
        """As in the source, without removed layers and with renumbered ones."""
        return list(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape after the cut, without reading the tensor."""
        old = self._names[name]
        shape = list(self.source.shape(old))
        for axis, index in self._indices.get(old, {}).items():
            shape[axis] = len(index)
        return tuple(shape)

    def dtype(self, name: str) -> torch.dtype:
        """As in the source."""
        return self.source.dtype(self._names[name])

    def tensor(self, name: str) -> Tensor:
        """The kept part of one tensor: a copy if it was cut, otherwise the source's tensor."""
        old = self._names[name]
        tensor = self.source.tensor(old)
        for axis, index in self._indices.get(old, {}).items():
            tensor = _select(tensor, axis, index)
        if old in self._rescaled:
            factor, shift = self._rescaled[old]
            tensor = ((tensor.double() + shift) * factor - shift).to(tensor.dtype)
        return tensor


def _select(tensor: Tensor, axis: int, index: Index) -> Tensor:
    """A copy of some indices of an axis."""
    if tensor.device.type != "cpu" or axis == 0:
        return tensor.index_select(axis, index.to(tensor.device))
    # For columns of a large matrix, NumPy's copy takes a third of the time. It does not support bf16, so the
    # bits are copied as integers.
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    mask = np.zeros(tensor.shape[axis], dtype=bool)
    mask[index.numpy()] = True
    columns = np.compress(mask, tensor.contiguous().view(bits).numpy(), axis=axis)
    return torch.from_numpy(columns).view(tensor.dtype)


def layers_after(config: PreTrainedConfig, kept: Kept) -> list[int]:
    """The original numbers of the remaining decoder layers."""
    return kept.get("layers", {}).get(MODEL, list(range(len(widths(config)))))


def widths_after(config: PreTrainedConfig, kept: Kept) -> list[LayerWidths]:
    """The widths of the remaining layers when only `kept` units remain."""
    original = widths(config)
    result = []
    for layer in layers_after(config, kept):
        heads, kv_heads, mlp = original[layer].heads, original[layer].kv_heads, original[layer].mlp
        queries = heads // kv_heads
        kv_kept = set(kept.get("heads", {}).get(layer, range(kv_heads)))
        query_kept = kept.get("query_heads", {}).get(layer, range(heads))
        query_heads = sum(query // queries in kv_kept for query in query_kept)
        result.append(LayerWidths(query_heads, len(kv_kept), len(kept.get("mlp", {}).get(layer, range(mlp)))))
    return result


def config_after(config: PreTrainedConfig, kept: Kept) -> PreTrainedConfig:
    """The config of the model with only the kept units."""
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
    """For each tensor and axis that is cut, the kept indices, ascending."""
    masks: dict[str, dict[int, Bool[Tensor, " length"]]] = defaultdict(dict)
    for group in groups(weights.config):
        units = kept.get(group.kind, {}).get(group.layer)
        if units is None:
            continue
        unit_mask = torch.zeros(group.units, dtype=torch.bool)
        unit_mask[units] = True
        _mask(weights, group, unit_mask, masks)
    return {
        name: {axis: mask.nonzero().flatten() for axis, mask in axes.items()} for name, axes in masks.items()
    }


def _mask(weights: Weights, group: Group, unit_mask: Tensor, masks: dict[str, dict[int, Tensor]]) -> None:
    for piece in group.slices:
        length = weights.shape(piece.tensor)[piece.axis]
        # Several slices may share an axis, as in fused projections; indices without an owner are kept.
        mask = masks[piece.tensor].setdefault(piece.axis, torch.ones(length, dtype=torch.bool))
        mask[piece.offset : piece.offset + group.units * piece.stride] &= unit_mask.repeat_interleave(
            piece.stride
        )
