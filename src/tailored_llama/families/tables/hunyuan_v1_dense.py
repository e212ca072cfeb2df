"""Hunyuan dense (Tencent 2025): LLaMA with a norm on each head of q and k after the rotary embedding, which
may be scaled by a factor `alpha`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.dimensions import head_dim
from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Written into its checkpoints; the stock class reads none of them.
UNREAD = {
    "attention_head_dim", "class_num", "add_classification_head", "cla_share_factor", "dense_list",
    "im_end_id", "im_newline_id", "im_start_id", "mask_init_id", "norm_type", "org_vocab_size", "pad_id",
    "pool_type", "text_end_id", "text_start_id", "eod_token_id",
}  # fmt: skip


def theta(config: PreTrainedConfig) -> float:
    """The base; with `alpha` it grows by alpha to the power d / (d - 2) for heads of d channels."""
    rope, size = config.rope_parameters, head_dim(config)
    factor: float = float(rope.get("alpha") or 1) ** (size / (size - 2))
    return float(rope["rope_theta"]) * factor


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Dynamic scaling with `alpha` is a constant base."""
    rope = config.rope_parameters
    kind = rope.get("rope_type", "default")
    if kind == "default" or (kind == "dynamic" and rope.get("alpha")):
        return None
    return f"rope_parameters {dict(rope)} cannot be written as GGUF"


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
    gguf=Gguf("hunyuan-dense", theta=theta, check=check),
)
