"""Phi-3 and Phi-4 (Abdin et al. 2024): LLaMA with q, k and v fused into one matrix, gate and up into another,
and optionally partial rotary embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import Family, Kind, LayerWidths, Member, OlderRope
from tailored_llama.families.tables.llama import INERT, KNOWN, NO_BIASES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Members are in LLaMA's order; `place` is the order of their rows in the fused matrix.
MEMBERS: dict[Kind, tuple[Member, ...]] = {
    "heads": (
        Member("self_attn.qkv_proj", axis=0, per_query=True, place=0),
        Member("self_attn.o_proj", axis=1, per_query=True),
        Member("self_attn.qkv_proj", axis=0, place=2),
        Member("self_attn.qkv_proj", axis=0, place=1),
    ),
    "mlp": (
        Member("mlp.gate_up_proj", axis=0, place=0),
        Member("mlp.gate_up_proj", axis=0, place=1),
        Member("mlp.down_proj", axis=1),
    ),
}


def takes(config: PreTrainedConfig, width: LayerWidths, hidden: int) -> bool:
    """Any widths, unless the rotary scaling has one factor per frequency: the stock config derives their
    number from residual width / heads, even if head_dim is given.
    """
    implied = hidden // width.heads == int(config.hidden_size) // int(config.num_attention_heads)
    return implied or not config.rope_parameters.get("long_factor")


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """A window as long as the context is none."""
    window = config.sliding_window
    if window is not None and window < config.max_position_embeddings:
        return f"sliding_window is {window}, and llama.cpp uses full attention here"
    return None


PHI3 = Family(
    name="phi3",
    architecture="Phi3ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"attention_bias", "mlp_bias"}
    | {"sliding_window", "original_max_position_embeddings", "partial_rotary_factor"},
    inert=INERT | {"embd_pdrop", "resid_pdrop"},  # dropout, in training only
    plain=("phi3",),
    shaped=("phi3",),
    # Attributes of the remote code of its first checkpoints.
    expects={**NO_BIASES, "lm_head_bias": False, "full_attn_mod": 1, "interpolate_factor": 1},
    takes=takes,
    rope_types={"default": "default", "longrope": "longrope", "su": "longrope", "yarn": "longrope"},
    # Phi-3 requires exactly three keys, with `type`; the original length is a key of the config.
    older_rope=OlderRope(type_key="type", holds_length=False, partial=True),
    gguf_import="phi3",
    gguf=Gguf("phi3", square=True, check=check),
)
