"""OLMo 3 (OLMo Team 2025): OLMo 2 with a sliding window in three of four layers, and rotary parameters of
their own for layers with and without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.tables.olmo2 import OLMO2

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NUMBERS = {"attention.sliding_window": lambda config: int(config.sliding_window)}


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Every fourth layer has no window, counted from the first remaining one; one base for all layers."""
    full = [kind == "full_attention" for kind in config.layer_types]
    if config.sliding_window is None or full != [(at + 1) % 4 == 0 for at in range(len(widths))]:
        return "layer_types does not have full_attention for every fourth layer, as llama.cpp expects"
    if config.rope_parameters["full_attention"] != config.rope_parameters["sliding_attention"]:
        return "rope_parameters differ between layers, and llama.cpp has one set here"
    return None


OLMO3 = replace(
    OLMO2,
    name="olmo3",
    architecture="Olmo3ForCausalLM",
    known=OLMO2.known | {"sliding_window", "layer_types"},
    plain=("olmo3",),
    shaped=("olmo3",),
    per_layer=("layer_types",),
    rope_by_layer_type=True,
    gguf=Gguf("olmo2", square=True, numbers=NUMBERS, check=check),
)
