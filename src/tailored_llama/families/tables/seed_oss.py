"""Seed-OSS (ByteDance Seed 2025): LLaMA with biases on q, k and v, and a switch of its own for that of o."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS
from tailored_llama.families.tables.llama import biases as by_one_switch
from tailored_llama.families.tables.qwen2 import BIASED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

OUTPUT = frozenset({"self_attn.o_proj"})


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """q, k and v by `attention_bias`, o by `attention_out_bias`, the MLP by `mlp_bias`."""
    switched = by_one_switch(config) - BIASED - OUTPUT
    attention = BIASED if config.attention_bias else frozenset()
    return switched | attention | (OUTPUT if config.attention_out_bias else frozenset())


SEED_OSS = Family(
    name="seed_oss",
    architecture="SeedOssForCausalLM",
    members=MEMBERS,
    known=KNOWN | {"attention_out_bias"},
    inert=INERT,
    plain=("seed_oss",),
    shaped=("seed_oss",),
    biases=biases,
    numbers={"attention_out_bias": bool},
    gguf=Gguf("seed_oss", biases=BIASED),
)
