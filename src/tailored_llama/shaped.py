"""Decoders with per-layer widths: the shaped form of a checkpoint.

This file is part of every shaped checkpoint and is sufficient to load it with `trust_remote_code=True`, so it
imports only torch and transformers.

The classes of a family are created from its stock classes on demand. The stock model is built first, then
each decoder layer is rebuilt from a copy of the config with the layer's widths; everything else (embeddings,
rotary positions, cache, heads, loss, generation) is that of the stock class. Works with transformers 4.57 and
5.
"""

import copy
from typing import Any, NamedTuple

import transformers
from transformers import AutoConfig, AutoModel
from transformers.modeling_utils import PreTrainedModel

try:
    from transformers.configuration_utils import PreTrainedConfig
except ImportError:  # renamed in transformers 5
    from transformers.configuration_utils import PretrainedConfig as PreTrainedConfig
try:
    from transformers.configuration_utils import strict
except ImportError:  # before 5, configs are not data classes and have no validators
    strict = None

WIDTHS = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
"""The keys of a stock config for the three numbers of an entry of `layer_widths`."""


def _check_widths(config: Any) -> None:
    """ValueError if `layer_widths` does not describe `num_hidden_layers` decoder layers."""
    widths, layers = config.layer_widths, config.num_hidden_layers
    if widths is None:  # only in the default config that transformers compares with
        return
    if not isinstance(widths, (list, tuple)) or len(widths) != layers:
        raise ValueError(f"layer_widths must have num_hidden_layers = {layers} entries, and is {widths}")
    for layer, width in enumerate(widths):
        valid = isinstance(width, (list, tuple)) and len(width) == len(WIDTHS)
        if not valid or not all(type(number) is int and number >= 1 for number in width):
            raise ValueError(
                f"layer_widths[{layer}] is {width}: give [heads, kv_heads, mlp], whole numbers of at least 1"
            )
        if width[0] % width[1]:
            raise ValueError(
                f"layer_widths[{layer}]: {width[0]} heads cannot share {width[1]} kv heads evenly"
            )


def _layer_config(config: Any, layer: int) -> Any:
    """A copy of `config` with the widths of one layer in the keys that the stock decoder layer reads."""
    layer_config = copy.copy(config)
    for name, width in zip(WIDTHS, config.layer_widths[layer], strict=True):
        setattr(layer_config, name, width)
    return layer_config


class _LayerView:
    """A view of a config that overrides the widths for one layer."""

    def __init__(self, config: Any, widths: Any) -> None:
        self.shared = config
        self.__dict__.update(zip(WIDTHS, widths, strict=True))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "shared":  # read while an object is being copied
            raise AttributeError(name)
        return getattr(self.shared, name)


def _shape_layers(model: Any) -> None:
    """Replace each decoder layer of the backbone `model` by one of the same class with the layer's widths."""
    config, layers = model.config, model.layers
    if config.layer_widths is None:
        raise ValueError("a shaped config needs layer_widths: [heads, kv_heads, mlp] for each decoder layer")
    for index, dense in enumerate(layers):
        layer_config = _layer_config(config, index)
        layers[index] = type(dense)(layer_config, index)
        # Settings changed on the model later (attention implementation, dropout) must reach every layer.
        for module in layers[index].modules():
            if getattr(module, "config", None) is layer_config:
                # A fused projection is split by the config's sizes at every call.
                fused = hasattr(module, "qkv_proj")
                module.config = _LayerView(config, config.layer_widths[index]) if fused else config


def _shaped_config(stock: type[PreTrainedConfig]) -> type[PreTrainedConfig]:
    """The shaped config class of a family.

    Its global numbers of heads and channels are those of the dense model, so head_dim is explicit.
    """

    class Config(stock):  # type: ignore[misc]
        model_type = f"shaped_{stock.model_type}"
        layer_widths: Any = None  # checked below: the stock validator's error is not a ValueError
        """[query heads, key-value heads, MLP channels] of each decoder layer."""

        def __post_init__(self, **kwargs: Any) -> None:
            super().__post_init__(**kwargs)
            _check_widths(self)

        def validate_architecture(self) -> None:
            # Replaces the stock check, which ties the number of heads to the residual width. It also runs
            # when a config is saved, to catch later changes.
            _check_widths(self)

        def validate_rope(self) -> None:
            # The stock check of some families derives head_dim from the residual width, which is wrong after
            # residual channels were removed.
            if self.hidden_size // self.num_attention_heads == self.head_dim:
                super().validate_rope()

        def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
            # List all classes of the family, not only the saved one, so that models merged or tuned by other
            # programs still load by each Auto class.
            self.auto_map = auto_map(self)
            super().save_pretrained(save_directory, *args, **kwargs)

    if strict is not None:
        # Without the decorator, the validators of the stock class would run instead.
        checked: type[PreTrainedConfig] = strict(_named(Config, stock))
        return checked

    def initialise(self: Any, **kwargs: Any) -> None:
        # The stock __init__ keeps unknown keys, including `layer_widths`.
        stock.__init__(self, **kwargs)
        _check_widths(self)

    older: type[PreTrainedConfig] = _named(Config, stock)
    older.__init__ = initialise
    older._rope_scaling_validation = lambda self: None  # like validate_rope above
    return older


def _shaped_model(stock: type[PreTrainedModel], config: type[PreTrainedConfig]) -> type[PreTrainedModel]:
    """The shaped form of a stock class, a backbone or a model with a head."""

    class Model(stock):  # type: ignore[misc]
        config_class = config
        if _caps_scores(stock.config_class):  # 4.57 would choose sdpa, without the cap on scores
            _supports_sdpa = False

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            backbone = getattr(self, "model", self)
            # Classifiers create their backbone by AutoModel; it is then already shaped.
            if backbone is self or type(backbone).__module__ != __name__:
                _shape_layers(backbone)
            self.post_init()

    model: type[PreTrainedModel] = _named(Model, stock)
    return model


def _caps_scores(stock: Any) -> bool:
    """Whether the attention scores of a family are capped by default (Gemma 2)."""
    defaults = stock() if strict is None else stock  # before 5, defaults are not attributes of the class
    return getattr(defaults, "attn_logit_softcapping", None) is not None


def _named(shaped_class: type, stock: type) -> Any:
    """`shaped_class`, renamed after its stock class, in the module where an exported checkpoint finds it."""
    shaped_class.__name__ = shaped_class.__qualname__ = f"Shaped{stock.__name__}"
    shaped_class.__module__ = __name__
    shaped_class.__doc__ = f"`{stock.__name__}` with per-layer widths."
    return shaped_class


class Family(NamedTuple):
    """The shaped classes of one family."""

    config: type[PreTrainedConfig]
    models: dict[str, type[PreTrainedModel]]
    """Auto class -> the class that it loads."""


def _shaped(stock_config: type[PreTrainedConfig]) -> Family:
    """The shaped classes of the family of `stock_config`, one for each Auto class that has a stock class."""
    config = _shaped_config(stock_config)
    stock = {auto: mapping.get(stock_config, None) for auto, mapping in STOCK.items()}
    models = {auto: _shaped_model(kind, config) for auto, kind in stock.items() if kind is not None}
    # Registered here, not when a model is saved, so that every process that imported this file saves
    # `auto_map` and this file together. Otherwise a merged or re-saved model would lose the code that it
    # names.
    config.register_for_auto_class()
    for auto, model in models.items():
        model.register_for_auto_class(auto)
    # By class, not by name, so that every copy of this file registers its own classes.
    AutoModel.register(config, models["AutoModel"], exist_ok=True)
    return Family(config, models)


STOCK = {
    "AutoModel": transformers.MODEL_MAPPING,
    "AutoModelForCausalLM": transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
    "AutoModelForSequenceClassification": transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "AutoModelForTokenClassification": transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
}
"""Auto class -> {config class: stock class}. Classes for question answering are omitted: they name the
backbone differently and would not find the weights of a causal model.
"""

FAMILIES: dict[str, Family] = {}
"""Stock model type -> its shaped classes, for the types that were used so far."""


def family(model_type: str) -> Family:
    """The shaped classes of a stock model type. KeyError if transformers has no such type."""
    if model_type not in FAMILIES:
        made = FAMILIES[model_type] = _shaped(transformers.CONFIG_MAPPING[model_type])
        # `auto_map` names them as members of this file.
        globals().update({kind.__name__: kind for kind in (made.config, *made.models.values())})
    return FAMILIES[model_type]


def __getattr__(name: str) -> Any:
    """A class that is named in `auto_map` and was not created yet."""
    if name.startswith("Shaped"):
        stock: Any = getattr(transformers, name.removeprefix("Shaped"), None)
        config = getattr(stock, "config_class", stock)
        if hasattr(config, "model_type"):
            family(config.model_type)
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def auto_map(config: Any) -> dict[str, str]:
    """The `auto_map` entry of a shaped config.json, which maps each Auto class to its class in this file."""
    shaped = family(config.model_type.removeprefix("shaped_"))
    classes = {"AutoConfig": shaped.config, **shaped.models}
    return {auto: f"shaped.{class_.__name__}" for auto, class_ in classes.items()}


def register(*model_types: str) -> None:
    """Register shaped checkpoints of these stock types (default: all in FAMILIES) with the Auto classes of
    this process. May be called repeatedly.
    """
    for model_type in model_types or tuple(FAMILIES):
        config, models = family(model_type)
        AutoConfig.register(config.model_type, config, exist_ok=True)
        for auto, model in models.items():
            getattr(transformers, auto).register(config, model, exist_ok=True)


if __package__ == "tailored_llama":
    # Not for a copy inside a checkpoint: transformers uses its classes for that checkpoint only. No
    # statement: transformers requires every package that an import statement of a copy names.
    plugins = __import__("tailored_llama.plugins", fromlist=["plugins"])
    register(*plugins.bundled(plugins.FAMILIES))

__all__ = ["FAMILIES", "auto_map", "family", "register"]
