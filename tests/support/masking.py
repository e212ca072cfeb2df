"""What a cut model has to compute, written out without the table: the dense model with units silenced."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import PreTrainedModel

from tailored_llama import families
from tailored_llama.families import MODEL, Kept


def masked(model: PreTrainedModel, kept: Kept) -> PreTrainedModel:
    """A copy of `model` in which nothing that is not kept reaches the residual stream, and no channel of it
    that is not kept is read, written or counted by a norm."""
    model, config = copy.deepcopy(model), model.config
    heads = config.num_attention_heads
    queries, size = heads // config.num_key_value_heads, families.head_dim(config)
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            o, down = block.self_attn.o_proj, block.mlp.down_proj
            if layer not in kept.get("layers", {}).get(MODEL, [layer]):
                for linear in (o, down):
                    for parameter in linear.parameters():
                        parameter.zero_()
            for head in range(heads):
                gone = head // queries not in kept.get("heads", {}).get(layer, [head // queries])
                if gone or head not in kept.get("query_heads", {}).get(layer, [head]):
                    o.weight[:, head * size : (head + 1) * size] = 0
            for channel in range(down.in_features):
                if channel not in kept.get("mlp", {}).get(layer, [channel]):
                    down.weight[:, channel] = 0
        if "hidden" in kept:
            _silence(model, kept["hidden"][MODEL])
    return model


def _silence(model: Any, channels: Sequence[int]) -> None:
    gone = sorted({*range(model.config.hidden_size)} - {*channels})
    tables = [model.model.embed_tokens.weight.data]
    for block in model.model.layers:
        for linear in (block.self_attn.o_proj, block.mlp.down_proj):
            linear.weight[gone] = 0
            if linear.bias is not None:
                linear.bias[gone] = 0
    tables[0][:, gone] = 0
    for module in list(model.modules()):
        weight = getattr(module, "weight", None)
        if "Norm" in type(module).__name__ and weight is not None and len(weight) == model.config.hidden_size:
            _narrow(module, channels)


def _narrow(norm: Any, channels: Sequence[int]) -> None:
    """Let a norm see these channels only."""
    small = copy.deepcopy(norm)
    small.weight = nn.Parameter(norm.weight[channels])

    def forward(hidden: Tensor) -> Tensor:
        found = torch.zeros_like(hidden)
        found[..., channels] = small(hidden[..., channels])
        return found

    norm.forward = forward


def some_units(config: Any, draw: Any) -> Kept:
    """A drawn cut of any of the units there are."""
    kept: Kept = {}
    for group in families.groups(config):
        if not draw(st.booleans()):
            continue
        size = group.units // group.blocks
        count = draw(st.integers(1, size))
        units = []
        for block in range(group.blocks):
            some = st.sets(st.integers(block * size, block * size + size - 1), min_size=count, max_size=count)
            units += sorted(draw(some))
        kept.setdefault(group.kind, {})[group.layer] = units
    return kept
