"""The configs of the bundled model and of its larger sibling, and their initial weights."""

from __future__ import annotations

from typing import Any

from tools.world.tokenizer import VOCABULARY

SIZES: dict[str, dict[str, int]] = {
    "base": {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 512},
    "sibling": {"hidden_size": 288, "num_hidden_layers": 6, "intermediate_size": 576},
}


def config(size: str, *, bos: int, eos: int, pad: int) -> Any:
    """A LlamaConfig with 8 query heads in 4 groups; `size` is a key of `SIZES`."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        # The default 0.02 is for wide models: at this width attention takes three times as long to form.
        initializer_range=0.06,
        rms_norm_eps=1e-5,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
        **SIZES[size],
    )


def make_model(shape: Any) -> Any:
    """A new LlamaForCausalLM whose attention is initialised to attend to similar tokens and copy them.

    In each group the first query head starts equal to the key head, and the output projection inverts the
    value projection: a simple form of Mimetic Initialization of Self-Attention Layers (Trockman and Kolter
    2023). With the default initialization the reading tasks stay at chance longer
    (docs/lab/micro-world-log.md).
    """
    import torch
    from transformers import LlamaForCausalLM

    # Documents are short: eager attention is faster here than the fused kernel.
    model = LlamaForCausalLM._from_config(shape, attn_implementation="eager")
    size, groups = shape.head_dim, shape.num_key_value_heads
    per_group = shape.num_attention_heads // groups
    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            for group in range(groups):
                own = slice(group * size, (group + 1) * size)
                alike, copied = (torch.linalg.qr(torch.randn(shape.hidden_size, size))[0].T for _ in range(2))
                attention.k_proj.weight[own] = 0.8 * alike
                attention.v_proj.weight[own] = copied
                for head in range(group * per_group, (group + 1) * per_group):
                    place = slice(head * size, (head + 1) * size)
                    attention.o_proj.weight[:, place] = 0.2 * copied.T
                    if head == group * per_group:
                        attention.q_proj.weight[place] = 0.8 * alike
    return model
