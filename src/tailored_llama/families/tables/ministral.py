"""Ministral (Mistral AI 2024): Mistral with a sliding window in some of the layers."""

from __future__ import annotations

from dataclasses import replace

from tailored_llama.families.tables.mistral import MISTRAL

MINISTRAL = replace(
    MISTRAL,
    name="ministral",
    architecture="MinistralForCausalLM",
    known=MISTRAL.known | {"layer_types"},
    plain=("ministral",),
    shaped=("ministral",),
    per_layer=("layer_types",),
    fills={},
    gguf_import=None,
)
