"""Nemotron 4 and Minitron (NVIDIA 2024): an MLP without gate that squares its positive activations, norms
that subtract the mean, with weights plus one and biases, and a partial rotary embedding.
"""

from __future__ import annotations

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family, OlderRope
from tailored_llama.families.tables.arcee import MEMBERS
from tailored_llama.families.tables.llama import INERT, KNOWN, biases
from tailored_llama.families.values import Epsilon

NEMOTRON = Family(
    name="nemotron",
    architecture="NemotronForCausalLM",
    members=MEMBERS,
    known=KNOWN - {"rms_norm_eps"} | {"norm_eps", "partial_rotary_factor"},
    inert=INERT | {"rope_percent"},  # another name of the partial factor, which its class does not read
    plain=("nemotron",),
    shaped=("nemotron",),
    biases=biases,
    numbers={"norm_eps": Epsilon},
    norm_biases=True,
    norm_shift=1.0,
    older_rope=OlderRope(partial=True),
    gguf=Gguf("nemotron", activation="relu2", epsilon="norm_eps", layer_norm=True, square=True),
)
