"""The config of a pruned model: plain if a stock class accepts it, otherwise shaped."""

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
    """The config of the same model with other widths: plain if all layers are equal and a stock class accepts
    the widths, otherwise shaped.

    `widths` are those of the remaining layers, `layers` their original numbers (default: all), `hidden` the
    residual width. The stock class is that of the first of the family's `plain` families that accepts the
    widths and computes the same. In the shaped form `layer_widths` has the widths, and the plain keys keep
    the dense sizes. `head_dim` is always explicit. Shaped configs must be registered with transformers.
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
        uniform = {
            "num_attention_heads": first.heads,
            "num_key_value_heads": first.kv_heads,
            "intermediate_size": first.mlp,
        }
        for target in map(family_named, family.plain):
            if target.takes(config, first, width) and _computes(target, config):
                stock = AutoConfig.for_model(target.name, **{**_as(target, family, attributes), **uniform})
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
    """Whether the classes of `target` compute what `config` describes, for widths that they accept."""
    own = family_named(config.model_type)
    unsaid = any(getattr(config, name, None) for name in own.known - target.known)
    # Families switch biases by differently named attributes, or not at all.
    return own.biases(config) == target.biases(config) and (own is target or not unsaid)


def _as(target: Family, family: Family, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a `family` config that `target` has too, plus those that `target` must set."""
    foreign = family.known - target.known
    return {**target.fills, **{k: v for k, v in attributes.items() if k not in foreign}}
