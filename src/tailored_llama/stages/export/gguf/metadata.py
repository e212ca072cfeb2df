"""The metadata of a GGUF file: the architecture's name and sizes, from the config alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFWriter
from transformers import PreTrainedConfig

from tailored_llama.errors import FamilyError
from tailored_llama.families import LayerWidths, family_named, family_names, head_dim, widths
from tailored_llama.families.gguf_form import Gguf, Number

ROPE_TYPES = ("default", "linear", "llama3")
"""RoPE scalings that are a constant factor per frequency, which a GGUF file can represent."""
ARCHITECTURES: dict[str, MODEL_ARCH] = {name: architecture for architecture, name in MODEL_ARCH_NAMES.items()}


@dataclass(frozen=True)
class Model:
    """A model for llama.cpp: `architecture`, the config it comes from and the widths of its layers."""

    architecture: MODEL_ARCH
    form: Gguf
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
        epsilon = float(getattr(config, self.form.epsilon))
        (writer.add_layer_norm_eps if self.form.layer_norm else writer.add_layer_norm_rms_eps)(epsilon)
        rope = main_rope(config)
        theta = rope["rope_theta"] if self.form.theta is None else self.form.theta(config)
        writer.add_rope_freq_base(float(theta))
        # The default of llama.cpp, embedding_length / head_count, is wrong once heads are pruned.
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_dimension_count(int(head * (rope.get("partial_rotary_factor") or 1)))
        for key, value in self.form.numbers.items():
            self._add(writer, key, value(config))

    def _add(self, writer: GGUFWriter, key: str, value: Number) -> None:
        key = f"{self.name}.{key}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)

    def _per_layer(self, numbers: list[int]) -> Any:
        return numbers if self.name == self.form.uneven else numbers[0]

    @property
    def name(self) -> str:
        """The architecture's name in the file."""
        return str(MODEL_ARCH_NAMES[self.architecture])


def describe(config: PreTrainedConfig) -> Model:
    """The model that `config` describes; FamilyError, naming the attribute, if llama.cpp would compute a
    different model."""
    layers = widths(config)
    alike = all(width == layers[0] for width in layers)
    form = _checked(config, layers, alike)
    name = form.architecture if alike or form.uneven is None else form.uneven
    return Model(ARCHITECTURES[name], form, config, layers)


def main_rope(config: PreTrainedConfig) -> dict[str, Any]:
    """The rotary parameters; those of layers without a window where both kinds have their own."""
    parameters: dict[str, Any] = config.rope_parameters
    own: dict[str, Any] = parameters.get("full_attention") or parameters
    return own


def _checked(config: PreTrainedConfig, layers: Sequence[LayerWidths], alike: bool) -> Gguf:
    """The family's form; FamilyError if it has none, or cannot represent the model."""
    family = family_named(config.model_type)
    form = family.gguf
    if form is None:
        known = [name for name in family_names() if family_named(name).gguf]
        raise FamilyError(
            f"config.json: the architecture '{family.name}' cannot be written as GGUF "
            f"({family.gguf_refusal}); supported: {', '.join(known)}"
        )
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", None)
    if activation != form.activation:
        raise FamilyError(
            f"config.json: hidden_act is '{activation}', and llama.cpp supports only {form.activation} here; "
            f"export to hf instead"
        )
    reason = form.check(config, layers) or _unfit(config, form, layers, alike)
    if reason is not None:
        raise FamilyError(f"config.json: {reason}; export to hf instead")
    rope = main_rope(config)
    whole = rope.get("partial_rotary_factor", 1.0) == 1.0 or "partial_rotary_factor" in family.known
    if form.theta is None and (rope.get("rope_type", "default") not in ROPE_TYPES or not whole):
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
    return form


def _unfit(config: PreTrainedConfig, form: Gguf, layers: Sequence[LayerWidths], alike: bool) -> str | None:
    """The reason why the tensors do not fit into the architecture, or None."""
    name, wide = form.architecture, int(config.hidden_size)
    if not alike and form.uneven is None:
        return (
            f"layer_widths differ between layers, and llama.cpp's {name} has the same for all (to prune for "
            f"it, set prune.alike)"
        )
    heads = layers[0].heads * head_dim(config)
    if form.square and heads != wide:
        return (
            f"heads x head_dim is {heads}, and llama.cpp's {name} needs hidden_size = {wide} (to prune for "
            f"it, leave the heads)"
        )
    odd = sorted(family_named(config.model_type).biases(config) - form.biases)
    return f"{odd[0]} has a bias, and llama.cpp's {name} has none there" if odd else None
