"""LLaMA 1, 2 and 3 and models with the same architecture: Vicuna, TinyLlama, SmolLM.

Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models"; grouped-query attention (GQA) as
in Ainslie et al. 2023: query heads u * g .. (u + 1) * g read KV head u, so a KV head is removed together with
its g query heads. Removing complete heads does not change head_dim, and so does not change the rotary
embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.gguf_form import Gguf
from tailored_llama.families.table import Family, Kind, Member, heads_divide

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# In the order in which LLM-Pruner (Ma et al. 2023) visits them; the reductions `first` and `second` depend on
# it.
MEMBERS: dict[Kind, tuple[Member, ...]] = {
    "heads": (
        Member("self_attn.q_proj", axis=0, per_query=True),
        Member("self_attn.o_proj", axis=1, per_query=True),
        Member("self_attn.v_proj", axis=0),
        Member("self_attn.k_proj", axis=0),
    ),
    "mlp": (
        Member("mlp.gate_proj", axis=0),
        Member("mlp.up_proj", axis=0),
        Member("mlp.down_proj", axis=1),
    ),
}

KNOWN = frozenset(
    {
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "layer_widths",
        "hidden_act",
        "rms_norm_eps",
        "tie_word_embeddings",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "max_position_embeddings",
        "attention_bias",
        "mlp_bias",
    }
)

# Settings of training, generation and bookkeeping; none changes the computation of a layer in evaluation.
INERT = frozenset(
    {
        "_name_or_path",
        "architectures",
        "model_type",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "auto_map",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "use_cache",
        "initializer_range",
        "attention_dropout",
        "pretraining_tp",
        "max_sequence_length",
        "id2label",
        "label2id",
        "problem_type",
        "return_dict",
        "output_hidden_states",
        "output_attentions",
        "is_llama_config",
        "unsloth_fixed",
        "cache_implementation",
        "transformers.js_config",
    }
)

# Bias settings in configs of families without such biases; their stock classes do not read them.
NO_BIASES = {"attention_bias": False, "mlp_bias": False}


def biases(config: PreTrainedConfig) -> frozenset[str]:
    """The modules of a layer that have a bias under this config."""
    attention = {m.module for m in MEMBERS["heads"]} if getattr(config, "attention_bias", False) else set()
    mlp = {m.module for m in MEMBERS["mlp"]} if getattr(config, "mlp_bias", False) else set()
    return frozenset(attention | mlp)


EVERY = frozenset(member.module for members in MEMBERS.values() for member in members)
LLAMA_CPP = Gguf("llama", uneven="deci", interleave=True, biases=EVERY)

LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    members=MEMBERS,
    known=KNOWN,
    inert=INERT,
    plain=("llama", "mistral"),
    shaped=("llama",),
    biases=biases,
    takes=heads_divide,
    gguf=LLAMA_CPP,
    gguf_import="llama",
)
