"""From a config to its groups of slices and back: what is coupled, how wide layers are, what a cut's is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailored_llama.errors import FamilyError
from tailored_llama.families.table import Family, Group, Kind, LayerWidths, Member, Slice, family_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

LAYERS = "model.layers"


def check_config(config: PreTrainedConfig, allow: Sequence[str] = ()) -> Family:
    """The family of `config`, if every attribute of it is understood.

    An attribute that is neither in the family's table nor at its class's default may change what a layer
    computes; it is refused by name, unless `allow` has it. Raises FamilyError.
    """
    family = family_named(config.model_type)
    defaults = config.default_config_fields()
    for name, value in config.to_dict().items():
        if name in allow:
            continue
        if name in family.known | family.inert or value is None:
            continue
        if name in family.expects and value == family.expects[name]:
            continue
        if name in defaults and value == defaults[name]:
            continue
        raise FamilyError(
            f"config.json: the {family.name} table does not know the attribute {name} = {value!r}; "
            f"if it changes nothing in the layers, pass --allow-config {name}"
        )
    return family


def head_dim(config: PreTrainedConfig) -> int:
    """Channels of one head, explicit or implied."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def widths(config: PreTrainedConfig) -> list[LayerWidths]:
    """Query heads, KV heads and MLP channels of each decoder layer, for plain and shaped configs alike."""
    shaped = getattr(config, "layer_widths", None)
    if shaped is not None:
        return [LayerWidths(*map(int, layer)) for layer in shaped]
    heads = int(config.num_attention_heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    return [LayerWidths(heads, kv_heads, int(config.intermediate_size))] * int(config.num_hidden_layers)


def groups(config: PreTrainedConfig) -> list[Group]:
    """All groups of `config`, layer by layer: heads, then MLP channels. Raises FamilyError."""
    family = family_named(config.model_type)
    return [
        _group(family, config, kind, layer, width)
        for layer, width in enumerate(widths(config))
        for kind in family.members
    ]


def _group(family: Family, config: PreTrainedConfig, kind: Kind, layer: int, width: LayerWidths) -> Group:
    units = width.kv_heads if kind == "heads" else width.mlp
    channels = head_dim(config) if kind == "heads" else 1
    queries = width.heads // width.kv_heads

    def stride(member: Member) -> int:
        return channels * (queries if member.per_query else 1)

    def offset(member: Member) -> int:
        before = (m for m in members if m.module == member.module and m.place < member.place)
        return units * sum(map(stride, before))

    prefix = f"{LAYERS}.{layer}"
    members = family.members[kind]
    biased: Collection[str] = family.biases(config)
    weights = tuple(Slice(f"{prefix}.{m.module}.weight", m.axis, stride(m), offset(m)) for m in members)
    # The bias of a projection whose columns are cut has the residual width and stays.
    biases = tuple(
        Slice(f"{prefix}.{m.module}.bias", 0, stride(m), offset(m), scored=False)
        for m in members
        if m.axis == 0 and m.module in biased
    )
    parameters = sum(s.stride for s in weights) * int(config.hidden_size) + sum(s.stride for s in biases)
    return Group(kind, layer, units, (*weights, *biases), channels, parameters)


def with_widths(config: PreTrainedConfig, widths: Sequence[LayerWidths]) -> PreTrainedConfig:
    """The config of the same model with other widths: plain where all layers are alike and a stock class
    takes them.

    The stock class is the family's own, or where that refuses the widths, the next of its `plain` families
    that computes the same. Everything else is the shaped form, in which `layer_widths` has the widths and
    the plain keys keep the dense numbers. `head_dim` is always explicit. Shaped configs have to be
    registered with transformers.
    """
    from transformers import AutoConfig

    family = family_named(config.model_type)
    attributes = config.to_dict() | {"head_dim": head_dim(config), "num_hidden_layers": len(widths)}
    for name in ("model_type", "transformers_version", "architectures", "auto_map", "layer_widths"):
        attributes.pop(name, None)
    first = widths[0]
    if all(width == first for width in widths):
        alike = {
            "num_attention_heads": first.heads,
            "num_key_value_heads": first.kv_heads,
            "intermediate_size": first.mlp,
        }
        for target in map(family_named, family.plain):
            if target.takes(config, first) and _computes(target, config):
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
