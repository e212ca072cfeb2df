"""The layer widths of a model, read from its config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.table import LayerWidths

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


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
