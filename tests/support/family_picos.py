"""A pico config for each family, with what sets the family apart switched on."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

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
}
"""What is varied -> the family's own attributes; the family is the key's first word."""


def family_of(case: str) -> str:
    """The family that a key of OWN is about."""
    return case.replace(",", " ").split()[0]


def pico(case: str, **changes: Any) -> PreTrainedConfig:
    """The config of a pico model of that case."""
    return AutoConfig.for_model(family_of(case), **{**SIZES, **OWN[case], **changes})
