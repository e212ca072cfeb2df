"""The shapes of the bundled model and of its larger sibling."""

from __future__ import annotations

from typing import Any

from tailored_llama.world.tokenizer import VOCABULARY

SIZES: dict[str, dict[str, int]] = {
    "base": {"hidden_size": 224, "num_hidden_layers": 5, "intermediate_size": 512},
    "sibling": {"hidden_size": 288, "num_hidden_layers": 8, "intermediate_size": 640},
}


def config(size: str, *, bos: int, eos: int, pad: int) -> Any:
    """A LlamaConfig with 8 query heads in 4 groups and tied embeddings; `size` is a key of `SIZES`."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
        **SIZES[size],
    )
