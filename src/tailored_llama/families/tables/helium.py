"""Helium (Kyutai 2025): LLaMA with a rotary embedding of neighbouring channels. Its class has an o_proj as
wide as the residual stream, so only MLP channels and layers can be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS
from tailored_llama.families.tables.llama import biases as with_output

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

REASON = "o_proj of its class has the residual width on both sides"


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """LLaMA's, without that of o."""
    return with_output(config) - {"self_attn.o_proj"}


HELIUM = Family(
    name="helium",
    architecture="HeliumForCausalLM",
    members=MEMBERS,
    known=KNOWN,
    inert=INERT,
    plain=("helium",),
    shaped=("helium",),
    biases=biases,
    fixed={"heads": REASON, "query_heads": REASON, "hidden": REASON},
    gguf_refusal="llama.cpp has no such architecture",
)
