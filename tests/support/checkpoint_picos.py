"""Pico models for the tests of the disk: plain and shaped, random but for the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tailored_llama.shaped import ShapedLlamaConfig, ShapedLlamaForCausalLM

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "head_dim": 8, "num_hidden_layers": 3, "max_position_embeddings": 64,
}  # fmt: skip
WIDTHS = [[4, 2, 24], [2, 1, 5], [3, 3, 7]]


def plain(**changes: Any) -> PreTrainedModel:
    """A stock LLaMA of three layers, in eval mode."""
    return _built(LlamaForCausalLM, LlamaConfig(**{**SIZES, **changes}))


def shaped(**changes: Any) -> PreTrainedModel:
    """A LLaMA with widths of its own for each of its three layers, in eval mode."""
    return _built(ShapedLlamaForCausalLM, ShapedLlamaConfig(**{**SIZES, "layer_widths": WIDTHS, **changes}))


def saved(model: PreTrainedModel, directory: Path, **options: Any) -> Path:
    """`model` as transformers itself writes it."""
    model.save_pretrained(directory, **options)
    return directory


def equal_bits(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models have the same tensors: names, precision and bits."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


def tokens(*shape: int) -> torch.Tensor:
    """Random token ids, the same each time."""
    return torch.randint(3, SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(1))


def _built(kind: type, config: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = kind(config).eval()
        # Norms start at one and a fresh model's logits are near zero: a mistake would hardly show.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model
