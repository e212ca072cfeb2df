"""StarCoder2 (Lozhkov et al. 2024): an MLP without gate, norms that subtract the mean, with biases, and one
switch for the biases of all projections; optionally with a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf, Widths, no_window
from tailored_llama.families.table import Family, Kind, Member
from tailored_llama.families.tables import llama
from tailored_llama.families.values import Epsilon

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MEMBERS: dict[Kind, tuple[Member, ...]] = {
    "heads": llama.MEMBERS["heads"],
    "mlp": (Member("mlp.c_fc", axis=0), Member("mlp.c_proj", axis=1)),
}
EVERY = frozenset(member.module for members in MEMBERS.values() for member in members)


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """Every projection by `use_bias`."""
    return EVERY if config.use_bias else frozenset()


def check(config: PreTrainedConfig, widths: Widths) -> str | None:
    """All projections have biases, and no layer a window."""
    return (
        no_window(config, widths) if config.use_bias else "use_bias is false, and llama.cpp has biases here"
    )


STARCODER2 = Family(
    name="starcoder2",
    architecture="Starcoder2ForCausalLM",
    members=MEMBERS,
    known=llama.KNOWN - {"attention_bias", "mlp_bias", "rms_norm_eps"}
    | {"norm_epsilon", "use_bias", "sliding_window"},
    # Attributes of its first code, which the stock class does not read.
    inert=llama.INERT
    | {
        "activation_function",
        "attention_softmax_in_fp32",
        "layer_norm_epsilon",
        "scale_attention_softmax_in_fp32",
        "scale_attn_weights",
    },
    plain=("starcoder2",),
    shaped=("starcoder2",),
    biases=biases,
    expects={**llama.NO_BIASES, "norm_type": "layer_norm", "mlp_type": "default"},
    numbers={"norm_epsilon": Epsilon, "use_bias": bool},
    norm_biases=True,
    gguf=Gguf(
        "starcoder2",
        activation="gelu_pytorch_tanh",
        epsilon="norm_epsilon",
        layer_norm=True,
        square=True,
        biases=EVERY,
        check=check,
    ),
)
