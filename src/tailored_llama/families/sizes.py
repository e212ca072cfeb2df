"""Parameters, bytes and multiply-accumulates by formula, from the config alone.

All three have the same form: a layer of h query heads, k KV heads and i MLP channels in a model of residual
width d has size d (a h + b k + c i + e) + (a' h + b' k + c' i + e'), and the tensors outside the layers d f.
So the size of a pruned model can be computed without pruning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailored_llama.families.dimensions import head_dim, widths
from tailored_llama.families.table import Family, family_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Counts = tuple[float, float, float]
"""Query heads, KV heads and MLP channels of a layer (LayerWidths); may be fractional."""
ByLayer = Mapping[int, Counts]


@dataclass
class Terms:
    """The coefficients of one layer: of heads, KV heads, MLP channels and the constant; with and
    without d.
    """

    wide: list[int]
    flat: list[int]

    def at(self, counts: Counts, hidden: float) -> float:
        """The size of a layer of these widths."""
        heads, kv_heads, mlp = counts
        a, b, c, once = self.wide
        wide = a * heads + b * kv_heads + c * mlp + once
        a, b, c, once = self.flat
        return hidden * wide + a * heads + b * kv_heads + c * mlp + once


@dataclass(frozen=True)
class Sizes:
    """One size measure (parameters, bytes or MACs) of a model and of its pruned versions."""

    config: PreTrainedConfig
    terms: list[Terms]
    around: int

    def layer(self, layer: int, width: Counts, hidden: float) -> float:
        """The size of layer `layer` with these widths."""
        return self.terms[layer].at(width, hidden)

    def total(self) -> int:
        """The size of the model."""
        return int(self.of(dict(enumerate(widths(self.config))), int(self.config.hidden_size)))

    def of(self, layers: ByLayer, hidden: float) -> float:
        """The size with only these layers, in these widths; exact if the widths are integers."""
        return hidden * self.around + sum(self.layer(i, width, hidden) for i, width in layers.items())

    def slope(self, layers: ByLayer | None = None) -> int:
        """The size of one residual channel."""
        layers = dict(enumerate(widths(self.config))) if layers is None else layers
        return int(self.of(layers, 1) - self.of(layers, 0))


def parameter_sizes(config: PreTrainedConfig, itemsize: Callable[[str], int] = lambda tensor: 1) -> Sizes:
    """Sizes in parameters, tied ones once; in bytes with `itemsize`, the bytes per element of a tensor."""
    family = family_named(config.model_type)
    biased, size = family.biases(config), head_dim(config)
    ends = (".weight", ".bias") if family.norm_biases else (".weight",)
    terms = []
    for layer in range(len(widths(config))):
        prefix = f"model.layers.{layer}."
        wide, flat = [0, 0, 0, 0], [0, 0, 0, 0]
        for kind, members in family.members.items():
            for member in members:
                which = 2 if kind == "mlp" else 0 if member.per_query else 1
                channels = 1 if kind == "mlp" else size
                wide[which] += channels * itemsize(f"{prefix}{member.module}.weight")
                if member.module in biased and member.axis == 0:
                    flat[which] += channels * itemsize(f"{prefix}{member.module}.bias")
                elif member.module in biased:
                    wide[3] += itemsize(f"{prefix}{member.module}.bias")
        wide[3] += sum(itemsize(f"{prefix}{norm}{end}") for norm in family.norms for end in ends)
        flat[3] += size * sum(itemsize(f"{prefix}{norm}.weight") for norm in family.head_norms)
        for member in family.wide_norms:
            flat[0 if member.per_query else 1] += size * itemsize(f"{prefix}{member.module}.weight")
        terms.append(Terms(wide, flat))
    tables = ["model.embed_tokens.weight", *([] if config.tie_word_embeddings else ["lm_head.weight"])]
    around = int(config.vocab_size) * sum(map(itemsize, tables))
    around += sum(itemsize(f"model.norm{end}") for end in ends)
    return Sizes(config, terms, around)


def mac_sizes(config: PreTrainedConfig, length: int = 64) -> Sizes:
    """Sizes in multiply-accumulates of one sequence of `length` tokens, head included, counted as ptflops
    does with LLM-Pruner's hooks.

    With q tokens, V words, width d, and per layer h query heads and k KV heads of size s and i MLP channels:
    q V d + 2 q d + sum over layers (2 q d s (h + k) + h q^2 (2 s + 1) + 2 q r (h + k) + 3 q d i + q i + 2 n q
    d): projections, attention, rotation of r = s channels a head (fewer where the rotation is partial), MLP,
    its product, n norms. Without a gate the MLP has 2 q d i and no product; a layer without rotary embedding
    has r = 0. Norms of q and k, of each head or of all together, add 2 q s (h + k). Attention is counted over
    all keys, also under a sliding window; biases, activations and caps are not counted.
    """
    family: Family = family_named(config.model_type)
    q, s = length, head_dim(config)
    rotated = int(s * ((config.rope_parameters or {}).get("partial_rotary_factor") or 1))
    normed = s if family.head_norms or family.wide_norms else 0
    matrices = len(family.members["mlp"])
    wide = [2 * q * s, 2 * q * s, matrices * q, 2 * len(family.norms) * q]

    def terms(layer: int) -> Terms:
        on_heads = 2 * q * (normed + (rotated if family.rotates(config, layer) else 0))
        return Terms(wide, [q * q * (2 * s + 1) + on_heads, on_heads, q * (matrices - 2), 0])

    around = q * int(config.vocab_size) + 2 * q
    return Sizes(config, [terms(layer) for layer in range(len(widths(config)))], around)


def parameter_count(config: PreTrainedConfig) -> int:
    """Parameters of the causal language model; tied embeddings count once."""
    return parameter_sizes(config).total()


def mac_count(config: PreTrainedConfig, length: int = 64) -> int:
    """Multiply-accumulates of one sequence of `length` tokens (see `mac_sizes`)."""
    return mac_sizes(config, length).total()
