"""The config of a cut model: plain where a stock class takes it, shaped otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailored_llama.families.dimensions import head_dim
from tailored_llama.families.table import Family, LayerWidths, family_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def with_widths(
    config: PreTrainedConfig,
    widths: Sequence[LayerWidths],
    *,
    hidden: int | None = None,
    layers: Sequence[int] | None = None,
) -> PreTrainedConfig:
    """The config of the same model with other widths: plain where all layers are alike and a stock class
    takes them.

    `widths` are those of the layers that are left, `layers` their old numbers (all, if not given), `hidden`
    the residual width. The stock class is the family's own, or where that refuses the widths, the next of
    its `plain` families that computes the same. Everything else is the shaped form, in which `layer_widths`
    has the widths and the plain keys keep the dense numbers. `head_dim` is always explicit. Shaped configs
    have to be registered with transformers.
    """
    from transformers import AutoConfig

    family = family_named(config.model_type)
    attributes = config.to_dict() | {"head_dim": head_dim(config), "num_hidden_layers": len(widths)}
    width = int(config.hidden_size) if hidden is None else hidden
    attributes["hidden_size"] = width
    for name in family.per_layer:
        if layers is not None and attributes.get(name) is not None:
            attributes[name] = [attributes[name][layer] for layer in layers]
    for name in ("model_type", "transformers_version", "architectures", "auto_map", "layer_widths"):
        attributes.pop(name, None)
    first = widths[0]
    if all(each == first for each in widths):
        alike = {
            "num_attention_heads": first.heads,
            "num_key_value_heads": first.kv_heads,
            "intermediate_size": first.mlp,
        }
        for target in map(family_named, family.plain):
            if target.takes(config, first, width) and _computes(target, config):
                stock = AutoConfig.for_model(target.name, **{**_as(target, family, attributes), **alike})
                stock.architectures = [target.architecture]
                return stock
    target = next(t for t in map(family_named, family.shaped) if _computes(t, config))
    shaped = AutoConfig.for_model(
        f"shaped_{target.name}",
        **_as(target, family, attributes),
        layer_widths=[[w.heads, w.kv_heads, w.mlp] for w in widths],
    )
    shaped.architectures = [f"Shaped{target.architecture}"]
    return shaped


def _computes(target: Family, config: PreTrainedConfig) -> bool:
    """Whether the classes of `target` compute what `config` describes, given layers that they take."""
    own = family_named(config.model_type)
    unsaid = any(getattr(config, name, None) for name in own.known - target.known)
    # Biases are switched by attributes of other names, or none.
    return own.biases(config) == target.biases(config) and (own is target or not unsaid)


def _as(target: Family, family: Family, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a config of `family` that one of `target` has, and what that has to add."""
    foreign = family.known - target.known
    return {**target.fills, **{k: v for k, v in attributes.items() if k not in foreign}}
