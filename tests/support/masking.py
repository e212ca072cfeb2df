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
            o, down = writers(block)
            if layer not in kept.get("layers", {}).get(MODEL, [layer]):
                for linear in (o, down):
                    for parameter in linear.parameters():
                        parameter.zero_()
            silent: list[int] = []
            for head in range(heads):
                gone = head // queries not in kept.get("heads", {}).get(layer, [head // queries])
                if gone or head not in kept.get("query_heads", {}).get(layer, [head]):
                    o.weight[:, head * size : (head + 1) * size] = 0
                    silent.append(head)
            _narrow_over_heads(block.self_attn, heads, queries, size, silent)
            for channel in range(down.in_features):
                if channel not in kept.get("mlp", {}).get(layer, [channel]):
                    down.weight[:, channel] = 0
        if "hidden" in kept:
            _silence(model, kept["hidden"][MODEL])
    return model


def writers(block: Any) -> tuple[Any, Any]:
    """The two matrices of a decoder layer that write to the residual stream."""
    return block.self_attn.o_proj, getattr(block.mlp, "down_proj", None) or block.mlp.c_proj


def _narrow_over_heads(attention: Any, heads: int, queries: int, size: int, silent: Sequence[int]) -> None:
    """Let norms over all heads of q and k together see those that are not silent only."""
    if not silent or len(getattr(getattr(attention, "q_norm", None), "weight", ())) != heads * size:
        return
    of_queries = [head for head in range(heads) if head not in silent]
    for norm, left in (
        (attention.q_norm, of_queries),
        (attention.k_norm, sorted({head // queries for head in of_queries})),
    ):
        _narrow(norm, [head * size + channel for head in left for channel in range(size)])


def _silence(model: Any, channels: Sequence[int]) -> None:
    gone = sorted({*range(model.config.hidden_size)} - {*channels})
    tables = [model.model.embed_tokens.weight.data]
    for block in model.model.layers:
        for linear in writers(block):
            linear.weight[gone] = 0
            if linear.bias is not None:
                linear.bias[gone] = 0
    tables[0][:, gone] = 0
    for name, module in list(model.named_modules()):
        weight = None if ".self_attn." in name else getattr(module, "weight", None)
        if "Norm" in type(module).__name__ and weight is not None and len(weight) == model.config.hidden_size:
            _narrow(module, channels)


def _narrow(norm: Any, channels: Sequence[int]) -> None:
    """Let a norm see these channels only."""
    small = copy.deepcopy(norm)
    small.weight = nn.Parameter(norm.weight[channels])
    if getattr(norm, "bias", None) is not None:
        small.bias = nn.Parameter(norm.bias[channels])
    if hasattr(norm, "normalized_shape"):
        small.normalized_shape = (len(channels),)

    def forward(hidden: Tensor) -> Tensor:
        found = torch.zeros_like(hidden)
        found[..., channels] = small(hidden[..., channels])
        return found

    norm.forward = forward


def some_units(config: Any, draw: Any) -> Kept:
    """A drawn cut of any of the units there are."""
    kept: Kept = {}
    fixed = families.family_named(config.model_type).fixed
    for group in families.groups(config):
        if group.kind in fixed or not draw(st.booleans()):
            continue
        size = group.units // group.blocks
        count = draw(st.integers(1, size))
        units = []
        for block in range(group.blocks):
            some = st.sets(st.integers(block * size, block * size + size - 1), min_size=count, max_size=count)
            units += sorted(draw(some))
        kept.setdefault(group.kind, {})[group.layer] = units
    return kept
