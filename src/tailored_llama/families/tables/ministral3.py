"""Ministral 3 (Mistral AI 2025): Mistral with queries that are scaled by their position, beyond the original
length of the context. The scale is the same for all heads."""

from __future__ import annotations

from dataclasses import replace

from tailored_llama.families.tables.mistral import MISTRAL

MINISTRAL3 = replace(
    MISTRAL,
    name="ministral3",
    architecture="Ministral3ForCausalLM",
    plain=("ministral3",),
    shaped=("ministral3",),
    rope_keys=frozenset({"llama_4_scaling_beta", "max_position_embeddings"}),
    fills={},
    gguf=None,
    gguf_import=None,
)
