"""SmolLM3 (Bakouch et al. 2025): LLaMA with layers that have no rotary embedding, every fourth by default,
and optionally a sliding window in those layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths, no_window
from tailored_llama.families.table import Family
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases
from tailored_llama.families.values import Switches

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def rotates(config: PreTrainedConfig, layer: int) -> bool:
    """Whether `no_rope_layers` has a 1 for the layer."""
    return bool(config.no_rope_layers[layer])


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """Every fourth layer has no rotary embedding, counted from the first remaining one."""
    if [bool(rope) for rope in config.no_rope_layers] != [(at + 1) % 4 != 0 for at in range(len(widths))]:
        return "no_rope_layers does not have a 0 for every fourth layer, as llama.cpp expects"
    return no_window(config, widths)


SMOLLM3 = Family(
    name="smollm3",
    architecture="SmolLM3ForCausalLM",
    members=MEMBERS,
    known=KNOWN
    | {"no_rope_layers", "no_rope_layer_interval", "use_sliding_window", "sliding_window", "layer_types"},
    inert=INERT | {"max_window_layers"},  # which its class does not read
    plain=("smollm3",),
    shaped=("smollm3",),
    biases=biases,
    numbers={"no_rope_layers": Switches},
    per_layer=("layer_types", "no_rope_layers"),
    rotates=rotates,
    gguf=Gguf("smollm3", interleave=True, check=check),
)
