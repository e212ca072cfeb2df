"""Qwen3 (Yang et al. 2025): Qwen2 without biases, and with a norm on each head of q and k.

The norm weights have head_dim entries and are shared by all heads, so no unit owns them.
"""

from __future__ import annotations

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases
from tailored_llama.families.tables.qwen2 import WINDOWS

HEAD_NORMS = ("self_attn.q_norm", "self_attn.k_norm")


QWEN3 = Family(
    name="qwen3",
    architecture="Qwen3ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"mlp_bias"} | WINDOWS,
    inert=INERT,
    plain=("qwen3",),
    shaped=("qwen3",),
    biases=biases,
    expects={"mlp_bias": False},
    per_layer=("layer_types",),
    head_norms=HEAD_NORMS,
    gguf_import="qwen3",
    gguf=Gguf("qwen3"),
)
