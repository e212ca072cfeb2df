"""Decoders whose layers have widths of their own: the shaped form of a checkpoint.

This file travels inside every shaped checkpoint and is all that is needed to load it with
`trust_remote_code=True`, so it imports only torch and transformers.

A family joins with one `_shaped(...)` line and one in FAMILIES. The stock model is built first and then each
of its decoder layers anew, from a copy of the config that carries the layer's own widths; everything else
(embeddings, rotary positions, cache, loss, generation) is the stock class's own.
"""

import copy
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.configuration_utils import PreTrainedConfig, strict
from transformers.modeling_utils import PreTrainedModel

WIDTHS = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
"""What the numbers of one entry of `layer_widths` are called in a stock config."""


def _check_widths(config: Any) -> None:
    """ValueError where `layer_widths` does not describe `num_hidden_layers` decoder layers."""
    widths, layers = config.layer_widths, config.num_hidden_layers
    if widths is None:  # only in the defaults that transformers compares a config with
        return
    if not isinstance(widths, (list, tuple)) or len(widths) != layers:
        raise ValueError(f"layer_widths has to list num_hidden_layers = {layers} entries, and is {widths}")
    for layer, width in enumerate(widths):
        known = isinstance(width, (list, tuple)) and len(width) == len(WIDTHS)
        if not known or not all(type(number) is int and number >= 1 for number in width):
            raise ValueError(
                f"layer_widths[{layer}] is {width}: give [heads, kv_heads, mlp], whole numbers of at least 1"
            )
        if width[0] % width[1]:
            raise ValueError(
                f"layer_widths[{layer}]: {width[0]} heads cannot share {width[1]} kv heads evenly"
            )


def _layer_config(config: Any, layer: int) -> Any:
    """`config` with the widths of one layer, as the stock decoder layer reads them."""
    own = copy.copy(config)
    for name, width in zip(WIDTHS, config.layer_widths[layer], strict=True):
        setattr(own, name, width)
    return own


class _OwnWidths:
    """A config, read live, but for the widths of one layer."""

    def __init__(self, config: Any, widths: Any) -> None:
        self.shared = config
        self.__dict__.update(zip(WIDTHS, widths, strict=True))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "shared":  # asked for while an object is copied, not yet filled
            raise AttributeError(name)
        return getattr(self.shared, name)


def _shape_layers(model: Any) -> None:
    """Replace each decoder layer of `model` by one of the same class with its own widths."""
    config, layers = model.config, model.model.layers
    if config.layer_widths is None:
        raise ValueError("a shaped config needs layer_widths: [heads, kv_heads, mlp] for each decoder layer")
    for index, dense in enumerate(layers):
        own = _layer_config(config, index)
        layers[index] = type(dense)(own, index)
        # What is set on the model later (attention implementation, dropout) has to reach every layer.
        for module in layers[index].modules():
            if getattr(module, "config", None) is own:
                # A fused projection is taken apart by the config's numbers, at every call.
                fused = hasattr(module, "qkv_proj")
                module.config = _OwnWidths(config, config.layer_widths[index]) if fused else config


def _shaped(
    stock_config: type[PreTrainedConfig], stock_model: type[PreTrainedModel]
) -> tuple[type[PreTrainedConfig], type[PreTrainedModel]]:
    """The shaped config and model class of one family.

    The config's own numbers of heads and channels stay those of the dense model, so head_dim is explicit.
    """

    class Config(stock_config):  # type: ignore[misc]
        model_type = f"shaped_{stock_config.model_type}"
        layer_widths: Any = None  # checked below: the stock validator's error is not a ValueError
        """[query heads, key-value heads, MLP channels] of each decoder layer."""

        def __post_init__(self, **kwargs: Any) -> None:
            super().__post_init__(**kwargs)
            _check_widths(self)

        def validate_architecture(self) -> None:
            # In place of the stock check, which ties the number of heads to the residual width. Runs again
            # when a config is saved, so that a change since is seen.
            _check_widths(self)

        def validate_rope(self) -> None:
            # The stock check of some families counts a head's channels by these numbers, which are no longer
            # of one model once residual channels are gone.
            if self.hidden_size // self.num_attention_heads == self.head_dim:
                super().validate_rope()

    class Model(stock_model):  # type: ignore[misc]
        config_class = None

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            _shape_layers(self)
            self.post_init()

    for made, stock in ((Config, stock_config), (Model, stock_model)):
        made.__name__ = made.__qualname__ = f"Shaped{stock.__name__}"
        made.__module__ = __name__
        made.__doc__ = f"`{stock.__name__}` with widths of its own for each decoder layer."
    # Without the decorator the validators of the stock class would still run in place of ours.
    config = strict(Config)
    Model.config_class = config
    # Said here, not where a model is saved: whoever imported this file, by whichever way, saves `auto_map`
    # and this file together. A merged or re-saved model would otherwise lose the code that it names.
    config.register_for_auto_class()
    Model.register_for_auto_class("AutoModelForCausalLM")
    return config, Model


ShapedLlamaConfig, ShapedLlamaForCausalLM = _shaped(LlamaConfig, LlamaForCausalLM)
ShapedMistralConfig, ShapedMistralForCausalLM = _shaped(MistralConfig, MistralForCausalLM)
ShapedQwen2Config, ShapedQwen2ForCausalLM = _shaped(Qwen2Config, Qwen2ForCausalLM)
ShapedQwen3Config, ShapedQwen3ForCausalLM = _shaped(Qwen3Config, Qwen3ForCausalLM)
ShapedPhi3Config, ShapedPhi3ForCausalLM = _shaped(Phi3Config, Phi3ForCausalLM)
ShapedGemma2Config, ShapedGemma2ForCausalLM = _shaped(Gemma2Config, Gemma2ForCausalLM)
ShapedGemma3TextConfig, ShapedGemma3ForCausalLM = _shaped(Gemma3TextConfig, Gemma3ForCausalLM)

FAMILIES: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "llama": (ShapedLlamaConfig, ShapedLlamaForCausalLM),
    "mistral": (ShapedMistralConfig, ShapedMistralForCausalLM),
    "qwen2": (ShapedQwen2Config, ShapedQwen2ForCausalLM),
    "qwen3": (ShapedQwen3Config, ShapedQwen3ForCausalLM),
    "phi3": (ShapedPhi3Config, ShapedPhi3ForCausalLM),
    "gemma2": (ShapedGemma2Config, ShapedGemma2ForCausalLM),
    "gemma3_text": (ShapedGemma3TextConfig, ShapedGemma3ForCausalLM),
}
"""Stock model type -> its shaped config and model class."""


def register() -> None:
    """Make the Auto classes of this process load shaped checkpoints. Harmless when called again."""
    for config, model in FAMILIES.values():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)


if __package__ == "tailored_llama":
    # Of a copy that travels with a checkpoint transformers uses the classes for that checkpoint alone.
    register()

__all__ = ["FAMILIES", "ShapedLlamaConfig", "ShapedLlamaForCausalLM", "register"]
