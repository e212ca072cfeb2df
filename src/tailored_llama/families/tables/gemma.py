"""Gemma (Gemma Team 2024): LLaMA with embeddings scaled by the square root of the residual width, and norms
that multiply by their weight plus one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Embeddings are tied."""
    return None if config.tie_word_embeddings else "tie_word_embeddings is false, and llama.cpp ties here"


GEMMA = Family(
    name="gemma",
    architecture="GemmaForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"mlp_bias"},
    inert=INERT,
    plain=("gemma",),
    shaped=("gemma",),
    biases=biases,
    # Its class reads `hidden_act`; checkpoints name the function that it stands for as well.
    expects={"mlp_bias": False, "hidden_activation": "gelu_pytorch_tanh"},
    norm_shift=1.0,
    scaled_embedding=True,
    gguf=Gguf("gemma", activation="gelu_pytorch_tanh", check=check),
)
