"""What a config says of its model: which family it is, and how wide its layers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tailored_llama.errors import FamilyError
from tailored_llama.families.table import Family, LayerWidths, family_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


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
