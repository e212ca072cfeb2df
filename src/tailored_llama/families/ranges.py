"""Types and ranges of config values, validated before any class of transformers reads them.

A size that is negative, fractional or 2^31, an epsilon of 0, or a token id outside the vocabulary would
otherwise cause an error deep inside torch, or silently wrong results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, create_model

from tailored_llama.errors import CheckpointError
from tailored_llama.families.rope import LAYER_TYPES, Exact, Rope, rope_problems, rope_sections
from tailored_llama.families.table import Family, family_named, heads_divide
from tailored_llama.families.values import Cap, Epsilon, Partial, Positions, Share, Theta
from tailored_llama.strict_json import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Layers = Annotated[int, Field(ge=1, le=1024)]
Heads = Annotated[int, Field(ge=1, le=2**14)]
Channels = Annotated[int, Field(ge=1, le=2**20)]

DTYPES = ("float64", "float32", "float16", "bfloat16", "double", "float", "half")
PARAMETRIC = frozenset({"prelu", "xielu"})
"""Activation functions with weights, which no table describes."""
SHOWN = 60  # characters of a value in a message
PROBLEMS = 5  # problems in a message
NO_TOKEN = -1
"""Value that some checkpoints use for a missing special token."""


class Numbers(Exact):
    """Sizes, switches and constants of a config. Sizes have no default: the defaults of the classes describe
    a model of billions of parameters.
    """

    vocab_size: Annotated[int, Field(ge=1, le=2**24)]
    hidden_size: Channels
    intermediate_size: Annotated[int, Field(ge=1, le=2**22)]
    num_hidden_layers: Layers
    num_attention_heads: Heads
    num_key_value_heads: Heads | None = None
    head_dim: Annotated[int, Field(ge=1, le=2**14)] | None = None
    max_position_embeddings: Positions = 1
    original_max_position_embeddings: Annotated[int, Field(ge=2, le=2**31 - 1)] | None = None
    sliding_window: Positions | None = None
    max_window_layers: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    sliding_window_pattern: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    rms_norm_eps: Epsilon = 1
    rope_theta: Theta = 2
    rope_local_base_freq: Theta | None = None
    partial_rotary_factor: Partial | None = None
    query_pre_attn_scalar: Annotated[int, Field(ge=1, le=2**20)] = 1
    final_logit_softcapping: Cap | None = None
    attn_logit_softcapping: Cap | None = None
    initializer_range: Share = 0
    attention_dropout: Share = 0
    resid_pdrop: Share = 0
    embd_pdrop: Share = 0
    num_labels: Annotated[int, Field(ge=0, le=100_000)] | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    use_sliding_window: bool = False
    use_cache: bool | None = None
    layer_types: list[str] | None = None
    layer_widths: list[Annotated[list[Channels], Field(min_length=3, max_length=3)]] | None = None


def check_ranges(content: Mapping[str, Any], where: str = "config.json") -> None:
    """Raises CheckpointError, which begins with `where`, for invalid values in the config of a known family.

    Single values are checked first; if all are in range, their combinations.
    """
    problems = list(_single(content)) or list(_together(content))
    if problems:
        more = f"; and {len(problems) - PROBLEMS} more" if len(problems) > PROBLEMS else ""
        raise CheckpointError(
            f"{where}: {'; '.join(problems[:PROBLEMS])}{more}; correct the file or download it again"
        )


def as_floats(content: Mapping[str, Json]) -> dict[str, Json]:
    """`content` with integers converted to floats where transformers' classes require floats (30 to 30.0)."""
    checked = _numbers(content).model_validate(content).model_dump(exclude_unset=True)
    floats = {key: value for key, value in checked.items() if isinstance(value, float)}
    return {key: floats.get(key, value) for key, value in content.items()}


def _numbers(content: Mapping[str, Any]) -> type[Numbers]:
    """Numbers with the values of the family's own; they may be missing or null."""
    own = family_named(str(content["model_type"])).numbers
    fields: dict[str, Any] = {name: (kind | None, None) for name, kind in own.items()}
    return create_model("Own", __base__=Numbers, **fields) if fields else Numbers


def config_class(content: Mapping[str, Any]) -> type[PreTrainedConfig]:
    """transformers' class of a known family's config, plain or shaped."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    result: type[PreTrainedConfig] = CONFIG_MAPPING[content["model_type"]]
    return result


def _single(content: Mapping[str, Any]) -> Iterator[str]:
    """Single values with the wrong type or out of range."""
    yield from _errors(_numbers(content), content, "")
    for name, section in rope_sections(content).items():
        if isinstance(section, Mapping):
            yield from _errors(Rope, section, f"{name}.")
        else:
            yield f"{name} must be a mapping of keys, and is {_shown(section)}"
    for name in ("dtype", "torch_dtype"):
        if content.get(name) is not None and content[name] not in DTYPES:
            yield f"{name} is {_shown(content[name])}, expected one of {', '.join(DTYPES)}"


def _errors(model: type[Exact], content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        for problem in error.errors():
            key = prefix + ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "missing":
                yield f"{key} is missing"
            else:
                message = problem["msg"].removeprefix("Input should ").removeprefix("be ")
                yield f"{key} must be {message}, and is {_shown(problem['input'])}"


def _together(content: Mapping[str, Any]) -> Iterator[str]:
    """Values that are in range but inconsistent."""
    family = family_named(str(content["model_type"]))
    numbers = _numbers(content).model_validate(content)
    heads, hidden = numbers.num_attention_heads, numbers.hidden_size
    shaped = content["model_type"] != family.name
    kv_heads = numbers.num_key_value_heads or _default(content, "num_key_value_heads") or heads
    if heads % kv_heads:
        yield f"num_attention_heads = {heads} is not a multiple of num_key_value_heads = {kv_heads}"
    head_dim = numbers.head_dim or _default(content, "head_dim") or hidden // heads
    stock_divides = family.takes is heads_divide and not shaped
    if hidden % heads and (stock_divides or (head_dim == hidden // heads and numbers.head_dim is None)):
        yield f"hidden_size = {hidden} is not a multiple of num_attention_heads = {heads}"
    else:
        yield from rope_problems(content, head_dim)
    yield from _layers(content, family, numbers, shaped)
    yield from _names(content, family, numbers)


def _layers(content: Mapping[str, Any], family: Family, numbers: Numbers, shaped: bool) -> Iterator[str]:
    """Attributes that list a value for each layer."""
    count, types, widths = numbers.num_hidden_layers, numbers.layer_types, numbers.layer_widths
    if types is not None or "layer_types" in family.known:  # transformers' cache reads it for every family
        if types is not None and len(types) != count:
            yield f"layer_types lists {len(types)} layers where num_hidden_layers is {count}"
        for unknown in sorted(set(types or ()) - set(LAYER_TYPES))[:1]:
            yield f"layer_types: unknown type {unknown[:40]!r}; known: {' and '.join(LAYER_TYPES)}"
        switch = "use_sliding_window" in family.known
        slides = LAYER_TYPES[1] in types if types is not None else not switch
        window = content.get("sliding_window", _default(content, "sliding_window"))
        if slides and (window is None or (switch and not numbers.use_sliding_window)):
            yield "layer_types has sliding_attention, but no sliding_window is in use"
    for name in family.per_layer:
        listed = content.get(name)
        if name != "layer_types" and isinstance(listed, list) and len(listed) < count:
            yield f"{name} lists {len(listed)} layers where num_hidden_layers is {count}"
    if not shaped:
        if widths is not None:
            yield f"layer_widths belongs to model_type shaped_{family.name}"
        return
    if widths is None:
        yield "layer_widths is missing: [heads, kv_heads, mlp] for each layer"
    elif len(widths) != count:
        yield f"layer_widths lists {len(widths)} layers where num_hidden_layers is {count}"
    for layer, (heads, kv_heads, _) in enumerate(widths or ()):
        if heads % kv_heads:
            yield f"layer_widths[{layer}]: {heads} heads are not a multiple of {kv_heads} key-value heads"


def _names(content: Mapping[str, Any], family: Family, numbers: Numbers) -> Iterator[str]:
    """Names of activation functions and precisions, and token ids."""
    from transformers.activations import ACT2FN

    key = "hidden_activation" if "hidden_activation" in family.known else "hidden_act"
    name = content.get(key, _default(content, key))
    if not isinstance(name, str) or name not in ACT2FN.keys() - PARAMETRIC:
        known = ", ".join(sorted(ACT2FN.keys() - PARAMETRIC))
        yield f"{key} is {_shown(name)}, expected one of {known}"
    # Of the defaults only the padding id matters: torch requires its row to exist.
    ids = {"pad_token_id": _default(content, "pad_token_id"), **content}
    for key, value in ids.items():
        several = isinstance(value, list) and key == "eos_token_id"
        for token in value if several else [value]:
            if not key.endswith("_token_id") or (token is None and not several):
                continue
            if type(token) is not int or not NO_TOKEN <= token < numbers.vocab_size:
                yield f"{key} is {_shown(token)}, which is outside the vocabulary of {numbers.vocab_size}"


def _default(content: Mapping[str, Any], key: str) -> Any:
    """The default of transformers' class for `key`."""
    return getattr(config_class(content), key, None)


def _shown(value: Any) -> str:
    """`value` on one line, truncated. An integer may have too many digits to print."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return "a number of more than 60 digits"
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
