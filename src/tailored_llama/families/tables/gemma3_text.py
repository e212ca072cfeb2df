"""Gemma 3, text only (Gemma Team 2025): Gemma 2 with a norm on each head of q and k, and separate rotary
parameters for layers with and without sliding window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import OlderRope
from tailored_llama.families.tables.gemma2 import GEMMA2, GEMMA_INERT, GEMMA_KNOWN
from tailored_llama.families.tables.qwen3 import HEAD_NORMS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NUMBERS = {
    "attention.sliding_window": lambda config: int(config.sliding_window),
    "rope.freq_base_swa": lambda config: float(config.rope_parameters["sliding_attention"]["rope_theta"]),
}


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Every sixth layer has no window, counted from the first remaining one; scores by head_dim, no caps."""
    if config.query_pre_attn_scalar != config.head_dim:
        return (
            f"query_pre_attn_scalar is {config.query_pre_attn_scalar}, and llama.cpp scales by head_dim here"
        )
    full = [kind == "full_attention" for kind in config.layer_types]
    if full != [(at + 1) % 6 == 0 for at in range(len(widths))]:
        return "layer_types does not have full_attention for every sixth layer, as llama.cpp expects"
    for cap in ("attn_logit_softcapping", "final_logit_softcapping"):
        if getattr(config, cap):
            return f"{cap} is {getattr(config, cap)}, and llama.cpp does not cap here"
    local = config.rope_parameters["sliding_attention"]
    return (
        None if local.get("rope_type", "default") == "default" else f"rope_parameters of windows are {local}"
    )


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
    gguf=Gguf("gemma3", activation="gelu_pytorch_tanh", numbers=NUMBERS, check=check),
    gguf_import="gemma3",
)
