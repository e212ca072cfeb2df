"""OLMo 2 (OLMo Team 2024): LLaMA with norms after attention and MLP instead of before them, and norms of q
and k over all heads together.

The weights of the norms of q and k are cut with the heads; the norm is then over the remaining heads.
"""

from __future__ import annotations

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family, Member
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

OLMO2 = Family(
    name="olmo2",
    architecture="Olmo2ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"mlp_bias"},
    inert=INERT,
    plain=("olmo2",),
    shaped=("olmo2",),
    biases=biases,
    expects={"mlp_bias": False},
    norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    wide_norms=(Member("self_attn.q_norm", axis=0, per_query=True), Member("self_attn.k_norm", axis=0)),
    gguf=Gguf("olmo2", square=True),
)
