"""Gemma 3, text only (Gemma Team 2025): Gemma 2 with a norm on each head of q and k, and separate rotary
parameters for layers with and without sliding window."""

from __future__ import annotations

from dataclasses import replace

from tailored_llama.families.table import OlderRope
from tailored_llama.families.tables.gemma2 import GEMMA2, GEMMA_INERT, GEMMA_KNOWN
from tailored_llama.families.tables.qwen3 import HEAD_NORMS

GEMMA3_TEXT = replace(
    GEMMA2,
    name="gemma3_text",
    architecture="Gemma3ForCausalLM",
    known=GEMMA_KNOWN | {"rope_local_base_freq"},
    # `layer_types` is the expanded form of the pattern.
    inert=GEMMA_INERT | {"sliding_window_pattern", "_sliding_window_pattern"},
    plain=("gemma3_text",),
    shaped=("gemma3_text",),
    head_norms=HEAD_NORMS,
    rope_by_layer_type=True,
    older_rope=OlderRope(local_theta="rope_local_base_freq"),
    gguf_import="gemma3",
)
