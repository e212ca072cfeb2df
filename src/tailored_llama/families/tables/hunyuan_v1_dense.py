"""Hunyuan dense (Tencent 2025): LLaMA with a norm on each head of q and k after the rotary embedding, which
may be scaled by a factor `alpha`."""

from __future__ import annotations

from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

# Written into its checkpoints; the stock class reads none of them.
UNREAD = {
    "attention_head_dim", "class_num", "add_classification_head", "cla_share_factor", "dense_list",
    "im_end_id", "im_newline_id", "im_start_id", "mask_init_id", "norm_type", "org_vocab_size", "pad_id",
    "pool_type", "text_end_id", "text_start_id", "eod_token_id",
}  # fmt: skip

HUNYUAN_V1_DENSE = Family(
    name="hunyuan_v1_dense",
    architecture="HunYuanDenseV1ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"mlp_bias"},
    inert=INERT | UNREAD,
    plain=("hunyuan_v1_dense",),
    shaped=("hunyuan_v1_dense",),
    biases=biases,
    expects={"mlp_bias": False, "use_qk_norm": True, "use_cla": False, "use_rotary_pos_emb": True},
    head_norms=("self_attn.query_layernorm", "self_attn.key_layernorm"),
    rope_keys=frozenset({"alpha"}),
)
