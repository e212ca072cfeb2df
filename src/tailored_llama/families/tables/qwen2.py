"""Qwen2 and Qwen2.5 (Yang et al. 2024): LLaMA with biases on q, k and v, and optionally sliding windows in
the later layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

WINDOWS = frozenset({"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"})
BIASED = frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"})


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """q, k and v always have a bias, regardless of the config; o has none."""
    return BIASED


QWEN2 = Family(
    name="qwen2",
    architecture="Qwen2ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"attention_bias", "mlp_bias"} | WINDOWS,
    inert=INERT | {"use_mrope"},
    plain=("qwen2",),
    shaped=("qwen2",),
    biases=biases,
    expects={"mlp_bias": False},
    per_layer=("layer_types",),
    gguf_import="qwen2",
    gguf=Gguf("qwen2", square=True, biases=BIASED),
)
