"""Command R7B and A (Cohere 2025): attention and MLP read the same norm and are added together, norms
subtract the mean, logits are scaled, and layers have a sliding window or, every fourth, no rotary embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases
from tailored_llama.families.values import Epsilon, Factor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def logit_factor(config: PreTrainedConfig) -> float:
    """Logits are multiplied by `logit_scale`."""
    return float(config.logit_scale)


def rotates(config: PreTrainedConfig, layer: int) -> bool:
    """Only layers with a sliding window do."""
    return config.sliding_window is not None and config.layer_types[layer] == "sliding_attention"


NUMBERS = {
    "logit_scale": lambda config: float(config.logit_scale),
    "attention.sliding_window": lambda config: int(config.sliding_window),
}


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Every fourth layer has no window, counted from the first remaining one."""
    if config.sliding_window is None:
        return "sliding_window is null, and llama.cpp has windows here"
    full = [kind == "full_attention" for kind in config.layer_types]
    if full != [(at + 1) % 4 == 0 for at in range(len(widths))]:
        return "layer_types does not have full_attention for every fourth layer, as llama.cpp expects"
    return None


COHERE2 = Family(
    name="cohere2",
    architecture="Cohere2ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"mlp_bias", "rms_norm_eps"}
    | {"layer_norm_eps", "logit_scale", "sliding_window", "layer_types"},
    # `layer_types` is the expanded form of the pattern.
    inert=INERT | {"sliding_window_pattern", "_sliding_window_pattern", "use_parallel_embedding"},
    plain=("cohere2",),
    shaped=("cohere2",),
    biases=biases,
    # Attributes of other models of the company, which the stock class does not read.
    expects={
        "mlp_bias": False,
        "order_of_interleaved_layers": "local_attn_first",
        "position_embedding_type": "rope_gptj",
        "rotary_pct": 1,
        "use_embedding_sharing": True,
        "use_gated_activation": True,
        "use_parallel_block": True,
    },
    norms=("input_layernorm",),
    logit_factor=logit_factor,
    numbers={"layer_norm_eps": Epsilon, "logit_scale": Factor},
    per_layer=("layer_types",),
    rotates=rotates,
    gguf=Gguf(
        "cohere2", epsilon="layer_norm_eps", layer_norm=True, square=True, numbers=NUMBERS, check=check
    ),
)
