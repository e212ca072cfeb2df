"""OLMo 3 (OLMo Team 2025): OLMo 2 with a sliding window in three of four layers, and rotary parameters of
their own for layers with and without it."""

from __future__ import annotations

from dataclasses import replace

from tailored_llama.families.tables.olmo2 import OLMO2

OLMO3 = replace(
    OLMO2,
    name="olmo3",
    architecture="Olmo3ForCausalLM",
    known=OLMO2.known | {"sliding_window", "layer_types"},
    plain=("olmo3",),
    shaped=("olmo3",),
    per_layer=("layer_types",),
    rope_by_layer_type=True,
)
