"""Arcee AFM (Arcee AI 2025): LLaMA with an MLP without gate, which squares its positive activations."""

from __future__ import annotations

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family, Kind, Member, heads_divide
from tailored_llama.families.tables.llama import INERT, KNOWN, biases
from tailored_llama.families.tables.llama import MEMBERS as GATED

MEMBERS: dict[Kind, tuple[Member, ...]] = {
    "heads": GATED["heads"],
    "mlp": (Member("mlp.up_proj", axis=0), Member("mlp.down_proj", axis=1)),
}

ARCEE = Family(
    name="arcee",
    architecture="ArceeForCausalLM",
    members=MEMBERS,
    known=KNOWN,
    inert=INERT,
    plain=("arcee",),
    shaped=("arcee",),
    biases=biases,
    takes=heads_divide,
    gguf=Gguf("arcee", interleave=True, activation="relu2"),
)
