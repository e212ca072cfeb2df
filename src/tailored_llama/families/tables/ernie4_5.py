"""ERNIE 4.5, dense (Baidu 2025): LLaMA with one switch for all biases and a rotary embedding of neighbouring
channels, which a cut of whole heads does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, NO_BIASES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

EVERY = frozenset(member.module for members in MEMBERS.values() for member in members)


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """Every projection by `use_bias`."""
    return EVERY if config.use_bias else frozenset()


ERNIE4_5 = Family(
    name="ernie4_5",
    architecture="Ernie4_5ForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"attention_bias", "mlp_bias"} | {"use_bias"},
    inert=INERT,
    plain=("ernie4_5",),
    shaped=("ernie4_5",),
    biases=biases,
    expects=NO_BIASES,
    numbers={"use_bias": bool},
    gguf=Gguf("ernie4_5"),
)
