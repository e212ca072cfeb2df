"""Mistral without sliding window: LLaMA's computation under a config that takes any number of heads (Jiang
et al. 2023)."""

from __future__ import annotations

from tailored_llama.families.llama import INERT, KNOWN, MEMBERS
from tailored_llama.families.table import Family, register

MISTRAL = register(
    Family(
        name="mistral",
        architecture="MistralForCausalLM",
        members=MEMBERS,
        known=KNOWN - {"attention_bias", "mlp_bias"},
        inert=INERT,
        plain=("mistral",),
        shaped="llama",
        expects={"sliding_window": None},
    )
)
