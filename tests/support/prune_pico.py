"""Random pico models for the tests of families and pruning."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from tailored_llama.checkpoint import ModelWeights

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
"""Sizes of a LLaMA: grouped queries, head_dim apart from the residual width, ties and biases."""


def config_of(queries: int = 2, **settings: Any) -> LlamaConfig:
    """A pico LLaMA; `queries` query heads to a KV head."""
    sizes: dict[str, Any] = {
        "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 24, **settings,
    }  # fmt: skip
    heads = queries * sizes["num_key_value_heads"]
    return LlamaConfig(
        **{"vocab_size": 40, "hidden_size": 4 * heads, "num_attention_heads": heads, **sizes},
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip


def model_of(config: LlamaConfig, seed: int = 0) -> PreTrainedModel:
    """A random model, biases and norms included, in eager attention, as the walk computes it."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return model


def weights_of(config: LlamaConfig, seed: int = 0) -> ModelWeights:
    """The weights of a random model."""
    return ModelWeights(model_of(config, seed))


def tokens_of(config: LlamaConfig, samples: int = 4, length: int = 7, seed: int = 0) -> torch.Tensor:
    """Token ids [samples, length]."""
    return torch.randint(config.vocab_size, (samples, length), generator=torch.Generator().manual_seed(seed))
