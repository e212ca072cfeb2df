"""Granite 3 (IBM 2024): LLaMA with fixed multipliers of embeddings, attention scores, what each block adds to
the residual stream, and logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import EVERY, INERT, KNOWN, MEMBERS, biases
from tailored_llama.families.values import Factor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MULTIPLIERS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")


def logit_factor(config: PreTrainedConfig) -> float:
    """Logits are divided by `logits_scaling`."""
    return 1 / float(config.logits_scaling)


NUMBERS = {
    "attention.scale": lambda config: float(config.attention_multiplier),
    "embedding_scale": lambda config: float(config.embedding_multiplier),
    "residual_scale": lambda config: float(config.residual_multiplier),
    "logit_scale": lambda config: float(config.logits_scaling),
}


GRANITE = Family(
    name="granite",
    architecture="GraniteForCausalLM",
    members=MEMBERS,
    known=KNOWN | {*MULTIPLIERS},
    inert=INERT,
    plain=("granite",),
    shaped=("granite",),
    biases=biases,
    logit_factor=logit_factor,
    numbers=dict.fromkeys(MULTIPLIERS, Factor),
    gguf=Gguf("granite", interleave=True, biases=EVERY, numbers=NUMBERS),
)
