"""Mistral (Jiang et al. 2023): LLaMA's computation, with or without a sliding window over the keys.

Its config accepts any number of heads, so without a window it also represents a LLaMA whose number of heads
does not divide the residual width. Without a window its shaped form is LLaMA's.
"""

from __future__ import annotations

from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, LLAMA_CPP, MEMBERS, NO_BIASES

MISTRAL = Family(
    name="mistral",
    architecture="MistralForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"attention_bias", "mlp_bias"} | {"sliding_window"},
    inert=INERT,
    plain=("mistral",),
    shaped=("llama", "mistral"),
    expects=NO_BIASES,
    fills={"sliding_window": None},
    gguf=LLAMA_CPP,
    gguf_import="mistral",
)
