"""Decoders whose layers have widths of their own: the shaped form of a checkpoint.

This file travels inside every shaped checkpoint and is all that is needed to load it with
`trust_remote_code=True`, so it imports only torch and transformers.

The classes of a family are made of its stock ones when they are needed. The stock model is built first and
then each of its decoder layers anew, from a copy of the config that carries the layer's own widths; the rest
(embeddings, rotary positions, cache, heads, loss, generation) is the stock class's own. Works with
transformers 4.57 and 5.
"""

import copy
from typing import Any, NamedTuple

import transformers
from transformers import AutoConfig, AutoModel
from transformers.modeling_utils import PreTrainedModel

try:
    from transformers.configuration_utils import PreTrainedConfig
except ImportError:  # transformers before 5 spells it otherwise
    from transformers.configuration_utils import PretrainedConfig as PreTrainedConfig
try:
    from transformers.configuration_utils import strict
except ImportError:  # before 5, configs are no data classes and have no validators
    strict = None

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
    """Replace each decoder layer of the backbone `model` by one of the same class with its own widths."""
    config, layers = model.config, model.layers
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


def _shaped_config(stock: type[PreTrainedConfig]) -> type[PreTrainedConfig]:
    """The shaped config class of a family.

    Its own numbers of heads and channels stay those of the dense model, so head_dim is explicit.
    """

    class Config(stock):  # type: ignore[misc]
        model_type = f"shaped_{stock.model_type}"
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

        def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
            # Every class of the family, not only the one that is saved: what is merged or tuned by others
            # still loads by each of the Auto classes.
            self.auto_map = auto_map(self)
            super().save_pretrained(save_directory, *args, **kwargs)

    if strict is not None:
        # Without the decorator the validators of the stock class would still run in place of ours.
        checked: type[PreTrainedConfig] = strict(_named(Config, stock))
        return checked

    def initialise(self: Any, **kwargs: Any) -> None:
        # The stock __init__ keeps the keys that it does not know, `layer_widths` among them.
        stock.__init__(self, **kwargs)
        _check_widths(self)

    older: type[PreTrainedConfig] = _named(Config, stock)
    older.__init__ = initialise
    older._rope_scaling_validation = lambda self: None  # as validate_rope above, and of Phi-3 alone
    return older


def _shaped_model(stock: type[PreTrainedModel], config: type[PreTrainedConfig]) -> type[PreTrainedModel]:
    """The shaped form of a stock class, of a backbone or of one with a head on it."""

    class Model(stock):  # type: ignore[misc]
        config_class = config
        if config.model_type == "shaped_gemma2":  # 4.57 would choose sdpa, which has no cap on the scores
            _supports_sdpa = False

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            backbone = getattr(self, "model", self)
            # Classifiers ask AutoModel for their backbone; then it is a class of this file, and done.
            if backbone is self or type(backbone).__module__ != __name__:
                _shape_layers(backbone)
            self.post_init()

    model: type[PreTrainedModel] = _named(Model, stock)
    return model


def _named(made: type, stock: type) -> Any:
    """`made` with the name of its stock class and the module that an exported checkpoint finds it in."""
    made.__name__ = made.__qualname__ = f"Shaped{stock.__name__}"
    made.__module__ = __name__
    made.__doc__ = f"`{stock.__name__}` with widths of its own for each decoder layer."
    return made


class Family(NamedTuple):
    """The shaped classes of one family."""

    config: type[PreTrainedConfig]
    models: dict[str, type[PreTrainedModel]]
    """Auto class -> the class that it loads."""


def _shaped(stock_config: type[PreTrainedConfig]) -> Family:
    """The shaped classes of the family of `stock_config`, one for each Auto class that has a stock one."""
    config = _shaped_config(stock_config)
    stock = {auto: mapping.get(stock_config, None) for auto, mapping in STOCK.items()}
    models = {auto: _shaped_model(kind, config) for auto, kind in stock.items() if kind is not None}
    # Registered here, not where a model is saved: whoever imported this file, by whichever way, saves
    # `auto_map` and this file together. A merged or re-saved model would otherwise lose the code it names.
    config.register_for_auto_class()
    for auto, model in models.items():
        model.register_for_auto_class(auto)
    # By class and not by name, so that every copy of this file has its own.
    AutoModel.register(config, models["AutoModel"], exist_ok=True)
    return Family(config, models)


STOCK = {
    "AutoModel": transformers.MODEL_MAPPING,
    "AutoModelForCausalLM": transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
    "AutoModelForSequenceClassification": transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "AutoModelForTokenClassification": transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
}
"""Auto class -> the stock classes that it loads, by their config. Those for question answering are left out:
theirs call the backbone by another name, and would not find the weights of a causal model."""

FAMILIES: dict[str, Family] = {}
"""Stock model type -> its shaped classes, of the types that were needed so far."""


def family(model_type: str) -> Family:
    """The shaped classes of a stock model type. KeyError where transformers has no such type."""
    if model_type not in FAMILIES:
        made = FAMILIES[model_type] = _shaped(transformers.CONFIG_MAPPING[model_type])
        # `auto_map` names them as members of this file.
        globals().update({kind.__name__: kind for kind in (made.config, *made.models.values())})
    return FAMILIES[model_type]


def __getattr__(name: str) -> Any:
    """A class that is named in `auto_map` and was not needed before."""
    if name.startswith("Shaped"):
        stock: Any = getattr(transformers, name.removeprefix("Shaped"), None)
        config = getattr(stock, "config_class", stock)
        if hasattr(config, "model_type"):
            family(config.model_type)
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def auto_map(config: Any) -> dict[str, str]:
    """The entry of a shaped config.json by which each Auto class finds its class in this file."""
    shaped = family(config.model_type.removeprefix("shaped_"))
    classes = {"AutoConfig": shaped.config, **shaped.models}
    return {auto: f"shaped.{made.__name__}" for auto, made in classes.items()}


def register(*model_types: str) -> None:
    """Make the Auto classes of this process load shaped checkpoints of these stock types, or of all in
    FAMILIES. Harmless when called again.
    """
    for model_type in model_types or tuple(FAMILIES):
        config, models = family(model_type)
        AutoConfig.register(config.model_type, config, exist_ok=True)
        for auto, model in models.items():
            getattr(transformers, auto).register(config, model, exist_ok=True)


if __package__ == "tailored_llama":
    # Of a copy that travels with a checkpoint transformers uses the classes for that checkpoint alone. No
    # statement: transformers requires every package that an import statement of a copy names.
    plugins = __import__("tailored_llama.plugins", fromlist=["plugins"])
    register(*plugins.bundled(plugins.FAMILIES))

__all__ = ["FAMILIES", "auto_map", "family", "register"]
