"""Gemma 2 (Gemma Team 2024): scaled embeddings, four norms a layer, capped attention scores and logits, and a
sliding window in every other layer.

Attention scores are scaled by `query_pre_attn_scalar`, not by head_dim or the number of heads, so the scale
does not change when heads are removed. The stock config requires that the number of heads divides the
residual width; otherwise only the shaped form is possible.
"""

from __future__ import annotations

from tailored_llama.families.table import Family, heads_divide
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

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
)
