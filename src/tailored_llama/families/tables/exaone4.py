"""EXAONE 4 (LG AI Research 2025): norms after attention and MLP, a norm on each head of q and k, and sliding
windows in some of the layers; where there are any, the other layers have no rotary embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths, no_window
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, NO_BIASES
from tailored_llama.families.tables.qwen3 import HEAD_NORMS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def rotates(config: PreTrainedConfig, layer: int) -> bool:
    """Layers without a sliding window rotate only in models where no layer has one."""
    return config.sliding_window is None or config.layer_types[layer] == "sliding_attention"


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """llama.cpp takes a model of 64 layers for the one with windows."""
    if len(widths) == 64:
        return "num_hidden_layers is 64, and llama.cpp has windows of its own there"
    return no_window(config, widths)


EXAONE4 = Family(
    name="exaone4",
    architecture="Exaone4ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"attention_bias", "mlp_bias"}
    | {"sliding_window", "sliding_window_pattern", "layer_types"},
    inert=INERT,
    plain=("exaone4",),
    shaped=("exaone4",),
    expects=NO_BIASES,
    numbers={"sliding_window_pattern": int | str},
    norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    head_norms=HEAD_NORMS,
    per_layer=("layer_types",),
    rotates=rotates,
    gguf=Gguf("exaone4", square=True, check=check),
)
