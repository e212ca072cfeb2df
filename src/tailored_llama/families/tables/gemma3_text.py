"""Gemma 3, text only (Gemma Team 2025): Gemma 2 with a norm on each head of q and k, and separate rotary
parameters for layers with and without sliding window."""

from __future__ import annotations

from tailored_llama.families.table import Family, heads_divide
from tailored_llama.families.tables.gemma2 import GEMMA_INERT, GEMMA_KNOWN, NORMS
from tailored_llama.families.tables.llama import MEMBERS, biases

GEMMA3_TEXT = Family(
    name="gemma3_text",
    architecture="Gemma3ForCausalLM",
    members=MEMBERS,
    known=GEMMA_KNOWN | {"rope_local_base_freq"},
    # `layer_types` is the expanded form of the pattern.
    inert=GEMMA_INERT | {"sliding_window_pattern", "_sliding_window_pattern"},
    plain=("gemma3_text",),
    shaped=("gemma3_text",),
    biases=biases,
    expects={"mlp_bias": False},
    norms=NORMS,
    norm_shift=1.0,
    scaled_embedding=True,
    per_layer=("layer_types",),
    head_norms=True,
    takes=heads_divide,
)
