"""The metadata of a GGUF file: the architecture's name and sizes, from the config alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFWriter
from transformers import PreTrainedConfig

from tailored_llama.errors import FamilyError
from tailored_llama.families import LayerWidths, head_dim, widths

FAMILIES = ("llama", "mistral", "shaped_llama")
"""The model types that llama.cpp computes exactly as `llama` or `deci`."""
ROPE_TYPES = ("default", "linear", "llama3")
"""RoPE scalings that are a constant factor per frequency, which a GGUF file can represent."""


@dataclass(frozen=True)
class Model:
    """A model for llama.cpp: `architecture`, the config it comes from and the widths of its layers."""

    architecture: MODEL_ARCH
    config: PreTrainedConfig
    widths: Sequence[LayerWidths]

    def add_to(self, writer: GGUFWriter) -> None:
        """Write the sizes: one number each if all layers are alike, otherwise one for each layer."""
        config, head = self.config, head_dim(self.config)
        writer.add_vocab_size(int(config.vocab_size))
        writer.add_context_length(int(config.max_position_embeddings))
        writer.add_embedding_length(int(config.hidden_size))
        writer.add_block_count(len(self.widths))
        writer.add_head_count(self._per_layer([width.heads for width in self.widths]))
        writer.add_head_count_kv(self._per_layer([width.kv_heads for width in self.widths]))
        writer.add_feed_forward_length(self._per_layer([width.mlp for width in self.widths]))
        writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
        writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
        # The default of llama.cpp, embedding_length / head_count, is wrong once heads are pruned.
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_dimension_count(head)

    def _per_layer(self, numbers: list[int]) -> Any:
        return numbers if self.architecture == MODEL_ARCH.DECI else numbers[0]

    @property
    def name(self) -> str:
        """`llama` or `deci`."""
        return str(MODEL_ARCH_NAMES[self.architecture])


def describe(config: PreTrainedConfig) -> Model:
    """The model that `config` describes; FamilyError, naming the attribute, if llama.cpp would compute a
    different model."""
    layers = widths(config)
    _check(config, layers)
    alike = all(width == layers[0] for width in layers)
    return Model(MODEL_ARCH.LLAMA if alike else MODEL_ARCH.DECI, config, layers)


def _check(config: PreTrainedConfig, layers: Sequence[LayerWidths]) -> None:
    if config.model_type not in FAMILIES:
        raise FamilyError(
            f"config.json: the architecture '{config.model_type}' cannot be written as GGUF; "
            f"supported: {', '.join(FAMILIES)}"
        )
    if config.hidden_act != "silu":
        raise FamilyError(
            f"config.json: hidden_act is '{config.hidden_act}', and llama.cpp supports only silu here; "
            f"export to hf instead"
        )
    if getattr(config, "sliding_window", None) is not None:
        raise FamilyError(
            f"config.json: sliding_window is {config.sliding_window}, and llama.cpp uses full attention "
            f"here; export to hf instead"
        )
    rope = config.rope_parameters
    if rope.get("rope_type", "default") not in ROPE_TYPES or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise FamilyError(
            f"config.json: rope_parameters {dict(rope)} cannot be written as GGUF; supported: "
            f"rope_type {', '.join(ROPE_TYPES)} without partial rotation; export to hf instead"
        )
    for layer, width in enumerate(layers):
        # llama.cpp skips the residual of a layer without MLP, and needs the head count of layer 0.
        if min(width.heads, width.kv_heads, width.mlp) < 1:
            raise FamilyError(
                f"layer {layer} keeps {width.heads} heads and {width.mlp} MLP channels, and llama.cpp needs "
                f"one of each; prune less of it, or cut the whole layer"
            )
