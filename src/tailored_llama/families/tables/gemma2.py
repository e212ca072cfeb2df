"""Gemma 2 (Gemma Team 2024): scaled embeddings, four norms a layer, capped attention scores and logits, and a
sliding window in every other layer.

Attention scores are scaled by `query_pre_attn_scalar`, not by head_dim or the number of heads, so the scale
does not change when heads are removed. The stock config requires that the number of heads divides the
residual width; otherwise only the shaped form is possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import Family, heads_divide
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

GEMMA_KNOWN = KNOWN - {"mlp_bias", "hidden_act"} | {
    "hidden_activation",
    "query_pre_attn_scalar",
    "sliding_window",
    "layer_types",
    "final_logit_softcapping",
    "attn_logit_softcapping",
}
# Hub configs carry `hidden_act` as well; the stock class reads `hidden_activation`.
GEMMA_INERT = INERT | {"hidden_act"}

NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)

NUMBERS = {
    "attn_logit_softcapping": lambda config: float(config.attn_logit_softcapping),
    "final_logit_softcapping": lambda config: float(config.final_logit_softcapping),
    "attention.sliding_window": lambda config: int(config.sliding_window),
}


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Windows in every other layer, scores by head_dim, caps on scores and logits."""
    if config.query_pre_attn_scalar != config.head_dim:
        return (
            f"query_pre_attn_scalar is {config.query_pre_attn_scalar}, and llama.cpp scales by head_dim here"
        )
    sliding = [kind == "sliding_attention" for kind in config.layer_types]
    if sliding != [at % 2 == 0 for at in range(len(widths))]:
        return "layer_types does not alternate from sliding_attention on, as llama.cpp expects"
    for cap in ("attn_logit_softcapping", "final_logit_softcapping"):
        if not getattr(config, cap):
            return f"{cap} is {getattr(config, cap)}, and llama.cpp always caps here"
    return None


GEMMA2 = Family(
    name="gemma2",
    architecture="Gemma2ForCausalLM",
    members=MEMBERS,
    known=GEMMA_KNOWN,
    inert=GEMMA_INERT | {"sliding_window_size"},  # which no class reads
    plain=("gemma2",),
    shaped=("gemma2",),
    biases=biases,
    expects={"mlp_bias": False},
    norms=NORMS,
    norm_shift=1.0,
    scaled_embedding=True,
    per_layer=("layer_types",),
    takes=heads_divide,
    gguf_import="gemma2",
    gguf=Gguf("gemma2", activation="gelu_pytorch_tanh", numbers=NUMBERS, check=check),
)
