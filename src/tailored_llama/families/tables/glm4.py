"""GLM-4-0414 (GLM Team 2025): norms before and after attention and MLP, gate and up fused into one matrix,
biases on q, k and v, and a rotary embedding of neighbouring channels in a part of each head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family, Kind, Member, OlderRope
from tailored_llama.families.tables import llama, phi3
from tailored_llama.families.tables.qwen2 import BIASED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MEMBERS: dict[Kind, tuple[Member, ...]] = {"heads": llama.MEMBERS["heads"], "mlp": phi3.MEMBERS["mlp"]}


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """q, k and v by `attention_bias`; o has none."""
    return BIASED if config.attention_bias else frozenset()


GLM4 = Family(
    name="glm4",
    architecture="Glm4ForCausalLM",
    members=MEMBERS,
    known=llama.KNOWN - {"mlp_bias"} | {"partial_rotary_factor"},
    inert=llama.INERT,
    plain=("glm4",),
    shaped=("glm4",),
    biases=biases,
    expects={"mlp_bias": False},
    norms=(
        "input_layernorm",
        "post_attention_layernorm",
        "post_self_attn_layernorm",
        "post_mlp_layernorm",
    ),
    older_rope=OlderRope(partial=True),
    gguf=Gguf("glm4", biases=BIASED),
)
