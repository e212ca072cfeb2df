"""Sizes of LLaMA-7B and of its cuts as the paper of LLM-Pruner gives them."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, MistralConfig

from tailored_llama import families
from tailored_llama.families import LayerWidths


def llama_7b(share: float, layers: range, hidden: int = 4096) -> Any:
    """LLaMA-7B with `share` of the heads and channels of some layers gone, as LLM-Pruner rounds."""
    dense = MistralConfig(
        hidden_size=hidden, head_dim=128, num_key_value_heads=32, intermediate_size=11008, sliding_window=None
    )
    heads = 32 - (32 * 128 - int(32 * 128 * (1 - share))) // 128
    cut = LayerWidths(heads, heads, int(11008 * (1 - share)))
    whole = families.widths(dense)
    return families.with_widths(dense, [cut if i in layers else w for i, w in enumerate(whole)])


PUBLISHED = {
    "dense": (LlamaConfig(), 6_738_415_616, 424_021_065_728),
    "block 0.25": (llama_7b(0.25, range(4, 30)), 5_422_977_024, 339_602_644_992),
    "block 0.50": (llama_7b(0.5, range(4, 30)), 4_107_538_432, 255_184_224_256),
    "block 0.60": (llama_7b(0.6, range(3, 31)), 3_350_188_032, 206_585_210_112),
    "channel 0.20": (llama_7b(0.0, range(0), hidden=int(4096 * 0.8)), 5_389_416_396, 339_361_064_448),
    "channel 0.50": (llama_7b(0.0, range(0), hidden=int(4096 * 0.5)), 3_369_207_808, 212_577_550_336),
}
"""Name -> config, parameters, multiply-accumulates of 64 tokens."""
