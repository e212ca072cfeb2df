"""Pico models: random models of a few thousand parameters, of the real classes of every family.

`pico` builds all of them. Where many tests share sizes, a function below names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tailored_llama.checkpoint import ModelWeights
from tailored_llama.families import LayerWidths, with_widths
from tailored_llama.shaped import register

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 8, "intermediate_size": 20, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
WINDOW = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
GEMMA = {"tie_word_embeddings": True, "sliding_window": 3, "query_pre_attn_scalar": 5}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 2.0], "long_factor": [1.0, 4.0]}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
MINISTRAL3 = {
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 4,
    "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.5,
}  # fmt: skip
ALPHA = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 1.0, "alpha": 9.0}
SOME_WINDOWS = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
OWN: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama 3, tied": {"rope_parameters": LLAMA3, "tie_word_embeddings": True, "num_key_value_heads": 2},
    "mistral": {"sliding_window": None},
    "mistral with a window": {"sliding_window": 3},
    "qwen2": {},
    "qwen2 with windows": WINDOW,
    "qwen3": {"attention_bias": True},
    "qwen3 with windows": {**WINDOW, "tie_word_embeddings": True},
    "phi3": {"sliding_window": 4},
    "phi3, partly rotated": {"partial_rotary_factor": 0.5},
    "phi3, long": {"head_dim": 4, "rope_parameters": LONG, "original_max_position_embeddings": 32},
    "gemma2": {**GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {**GEMMA, "final_logit_softcapping": 3.0, "sliding_window_pattern": 2},
    "gemma": {"tie_word_embeddings": True},
    "smollm3": {"no_rope_layers": [1, 0, 1], "use_sliding_window": True, "sliding_window": 3},
    "granite": {
        "embedding_multiplier": 3.0,
        "attention_multiplier": 0.4,
        "residual_multiplier": 0.7,
        "logits_scaling": 2.0,
    },
    "olmo2": {"attention_bias": True},
    "olmo3": SOME_WINDOWS,
    "arcee": {"attention_bias": True, "mlp_bias": True},
    "seed_oss": {"mlp_bias": True},
    "hunyuan_v1_dense": {"rope_parameters": ALPHA},
    "ernie4_5": {"use_bias": True},
    "ministral": SOME_WINDOWS,
    "ministral3": {"rope_parameters": MINISTRAL3},
    "exaone4": SOME_WINDOWS,
    "glm": {"eos_token_id": 1},
    "glm4": {"eos_token_id": 1},
    "helium": {"num_attention_heads": 3, "mlp_bias": True},
    "cohere2": {
        "logit_scale": 0.3,
        "tie_word_embeddings": True,
        **SOME_WINDOWS,
    },
    "nemotron": {},
    "starcoder2": {"sliding_window": 4},
}
"""What is varied -> the family's own attributes; the family is the key's first word."""
DISTINCT = tuple(
    case for case in OWN if case not in {
        "gemma", "granite", "arcee", "seed_oss", "hunyuan_v1_dense", "ernie4_5", "ministral", "exaone4",
        "glm", "glm4", "helium",
    }
)  # fmt: skip
"""Without those whose tables combine what others have; for tests that do not concern every table."""

PLAIN_SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "head_dim": 8, "num_hidden_layers": 3, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""Sizes of `plain` and `shaped`."""
WIDTHS = [[4, 2, 24], [2, 1, 5], [3, 3, 7]]
"""`layer_widths` of `shaped`: query heads, KV heads and MLP channels of each layer."""

VOCABULARY = 320
"""Tokens of `layered`; as many as the tokenizers `byte_level` and `sentence_pieces` need."""
ODD = [LayerWidths(6, 3, 37), LayerWidths(2, 1, 5), LayerWidths(4, 2, 64)]
"""Layers of hidden width 32 with heads of 8: grouped queries, head counts that do not divide it, odd MLPs."""

SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 3),
        "num_key_value_heads": st.integers(1, 4),
        "queries": st.integers(1, 3),
        "head_dim": st.sampled_from([4, 8]),
        "intermediate_size": st.integers(2, 20),
        "tie_word_embeddings": st.booleans(),
        "attention_bias": st.booleans(),
        "mlp_bias": st.booleans(),
    }
)
"""Sizes for `config_of`; head_dim is independent of the residual width."""


def family_of(case: str) -> str:
    """The family that a key of OWN is about."""
    return case.replace(",", " ").split()[0]


def pico_config(case: str = "llama", **sizes: Any) -> PreTrainedConfig:
    """The config of a pico model: of a case of OWN, or of a family."""
    return AutoConfig.for_model(family_of(case), **{**SIZES, **OWN.get(case, {}), **sizes})


def pico(
    case: str = "llama",
    *,
    widths: Sequence[LayerWidths] | None = None,
    seed: int = 0,
    weights: Literal["random", "fresh"] = "random",
    attention: str | None = None,
    **sizes: Any,
) -> PreTrainedModel:
    """A pico model in eval mode: of a case of OWN or of a family, with other sizes, with `widths` shaped."""
    config = pico_config(case, **sizes)
    if widths is not None:
        register()
        config = with_widths(config, list(widths))
    return model_of(config, seed, weights=weights, attention=attention)


def model_of(
    config: PreTrainedConfig,
    seed: int = 0,
    *,
    weights: Literal["random", "fresh"] = "random",
    attention: str | None = "eager",
) -> PreTrainedModel:
    """The model of a config in eval mode, by default in eager attention, as the walk computes it.

    Random weights lie around 0, those of norms and biases around 1, with a deviation of 0.3. Logits of fresh
    weights are near zero, and a mistake would hardly show. Seeds torch's generator.
    """
    torch.manual_seed(seed)
    chosen = {} if attention is None else {"attn_implementation": attention}
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, **chosen).eval()
    if weights == "random":
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return model


def plain(**changes: Any) -> PreTrainedModel:
    """A stock LLaMA of three layers."""
    return pico(**{**PLAIN_SIZES, **changes})


def shaped(**changes: Any) -> PreTrainedModel:
    """A LLaMA with widths of its own for each of its three layers."""
    register()
    return pico("shaped_llama", **{**PLAIN_SIZES, "layer_widths": WIDTHS, **changes})


def layered(
    widths: Sequence[LayerWidths], *, seed: int = 0, vocabulary: int = VOCABULARY, **settings: Any
) -> PreTrainedModel:
    """A LLaMA with these layers, plain if they are alike, for the tokenizers that llama.cpp knows."""
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 8,
        "num_key_value_heads": 4, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    return pico(widths=widths, seed=seed, num_hidden_layers=len(widths), **{**sizes, **settings})


def worded(context: int = 256, vocabulary: int = 300, **changes: Any) -> PreTrainedModel:
    """A LLaMA of two layers with grouped queries for the tokenizer `words`."""
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": context,
    }  # fmt: skip
    return pico(**{**sizes, **changes})


def fresh(**changes: Any) -> PreTrainedModel:
    """A LLaMA of two layers and 64 tokens with fresh weights, to be trained."""
    return worded(
        **{
            "context": 64,
            "vocabulary": 64,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "weights": "fresh",
            **changes,
        }
    )


def config_of(queries: int = 2, **settings: Any) -> PreTrainedConfig:
    """The config of a LLaMA with `queries` query heads to a KV head."""
    sizes: dict[str, Any] = {
        "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 24, **settings,
    }  # fmt: skip
    heads = queries * sizes["num_key_value_heads"]
    return pico_config(**{"hidden_size": 4 * heads, "num_attention_heads": heads, **sizes})


def weights_of(config: PreTrainedConfig, seed: int = 0) -> ModelWeights:
    """The weights of a random model."""
    return ModelWeights(model_of(config, seed))


def tokens_of(config: PreTrainedConfig, samples: int = 4, length: int = 7, seed: int = 0) -> torch.Tensor:
    """Token ids [samples, length]."""
    return torch.randint(config.vocab_size, (samples, length), generator=torch.Generator().manual_seed(seed))


def tokens(*shape: int) -> torch.Tensor:
    """Random token ids for `plain` and `shaped`, the same each time."""
    return torch.randint(3, PLAIN_SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(1))


def saved(
    model: PreTrainedModel, directory: Path, words: PreTrainedTokenizerFast | None = None, **options: Any
) -> Path:
    """`model`, and the tokenizer if there is one, as transformers itself writes them."""
    model.save_pretrained(directory, **options)
    if words is not None:
        words.save_pretrained(directory)
    return directory


def equal_bits(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models have the same tensors: names, precision and bits."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )
