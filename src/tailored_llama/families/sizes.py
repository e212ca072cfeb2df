"""Parameters and multiply-accumulates by formula, from the config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailored_llama.families.groups import groups, head_dim, widths
from tailored_llama.families.table import family_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def parameter_count(config: PreTrainedConfig) -> int:
    """Parameters of the causal language model; tied embeddings count once."""
    return fixed_parameters(config) + sum(group.units * group.parameters for group in groups(config))


def fixed_parameters(config: PreTrainedConfig) -> int:
    """Parameters that no unit owns: embeddings, head, norms, and the biases of residual width."""
    family = family_named(config.model_type)
    biased = family.biases(config)
    members = [member for kind in family.members.values() for member in kind]
    vectors = family.norms + sum(member.axis == 1 and member.module in biased for member in members)
    hidden, layers = int(config.hidden_size), len(widths(config))
    tables = 1 if config.tie_word_embeddings else 2
    in_layer = vectors * hidden + (2 * head_dim(config) if family.head_norms else 0)
    return tables * int(config.vocab_size) * hidden + hidden + layers * in_layer


def mac_count(config: PreTrainedConfig, length: int = 64) -> int:
    """Multiply-accumulates of one sequence of `length` tokens, head included, counted as ptflops does with
    LLM-Pruner's hooks.

    With q tokens, V words, width d, and per layer h query heads and k KV heads of size s and i MLP channels:
    q V d + 2 q d + sum over layers (2 q d s (h + k) + h q^2 (2 s + 1) + 2 q r (h + k) + 3 q d i + q i + 2 n q
    d): projections, attention, rotation of r = s channels a head (fewer where the rotation is partial), MLP,
    its product, n norms. Norms of q and k heads add 2 q s (h + k). Attention is counted over all keys, also
    under a sliding window; biases, activations and caps are not counted.
    """
    family = family_named(config.model_type)
    q, d, s = length, int(config.hidden_size), head_dim(config)
    rotated = int(s * ((config.rope_parameters or {}).get("partial_rotary_factor") or 1))
    on_heads = rotated + (s if family.head_norms else 0)
    total = q * int(config.vocab_size) * d + 2 * q * d
    for width in widths(config):
        h, k, i = width.heads, width.kv_heads, width.mlp
        total += 2 * q * d * s * (h + k) + h * q * q * (2 * s + 1) + 2 * q * on_heads * (h + k)
        total += 3 * q * d * i + q * i + 2 * family.norms * q * d
    return total
