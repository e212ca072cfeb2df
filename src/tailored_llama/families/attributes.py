"""Allowed config attributes: those that a family's table reads, and those that do not affect the computation
of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from tailored_llama.errors import FamilyError
from tailored_llama.families.ranges import check_ranges, config_class
from tailored_llama.families.rope import ROPE_KEYS, rope_sections
from tailored_llama.families.table import Family, family_named
from tailored_llama.strict_json import Json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

INERT_ENDINGS = ("_token_id", "dropout", "_pdrop", "_dropout_prob")
"""Token ids affect generation and padding; dropout is active in training only."""

# Written by libraries that train, convert or publish checkpoints; no stock class reads them.
BOOKKEEPING = frozenset(
    {
        "name_or_path",
        "num_labels",
        "is_decoder",
        "tokenizer_class",
        "finetuning_task",
        "task_specific_params",
        "prefix",
        "torchscript",
        "use_bfloat16",
        "tf_legacy_loss",
        "use_return_dict",
        "attn_implementation",
        "experts_implementation",
        "unsloth_version",
        "gradient_checkpointing",
        "use_flash_attn",
        "use_flash_attention",
        "use_flash_attention_2",
        "model_max_length",
        "tokenizer_model_max_length",
        "tokenizer_padding_side",
        "neftune_noise_alpha",
        "keys_to_ignore_at_inference",
    }
)

# With these values, the computation of the stock classes does not change.
SWITCHED_OFF: dict[str, Any] = {
    "rope_interleaved": False,
    "use_sliding_window": False,
    "qk_norm": False,
    "use_qk_norm": False,
    "qk_layernorm": False,
    "lm_head_bias": False,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "pruned_heads": {},
    "partial_rotary_factor": 1,
}

SHOWN = 40  # characters of a value in a message
NAMED = 20  # attributes in a message


def check_config(
    config: PreTrainedConfig | Mapping[str, Json], allow: Sequence[str] = (), *, where: str = "config.json"
) -> Family:
    """The family of `config` (or of the content of a config.json), if all its attributes are known.

    An attribute that is neither in the family's table nor at its class's default may change the computation
    of a layer. Raises FamilyError that lists all such attributes, except those in `allow`; also for an
    architecture without a table. Raises CheckpointError for a value outside its range (see `check_ranges`).
    Messages begin with `where`.
    """
    content: Mapping[str, Any] = config if isinstance(config, Mapping) else config.to_dict()
    family = family_named(str(content.get("model_type")), where)
    unknown = unknown_attributes(content)
    _refuse_reserved(content, unknown, where)
    unknown = {name: value for name, value in unknown.items() if name not in allow}
    if unknown:
        raise FamilyError(_refusal(where, family, unknown))
    check_ranges(content, where)
    return family


def unknown_attributes(content: Mapping[str, Json]) -> dict[str, Json]:
    """The attributes of `content` that might change what a layer computes, by name.

    A key of the rope parameters is reported as `rope_parameters.KEY`, regardless of the spelling in the
    config.
    """
    family = family_named(str(content.get("model_type")))
    switched_off = SWITCHED_OFF | dict(family.expects)
    defaults = config_class(content).default_config_fields()
    accepted = family.known | family.inert | BOOKKEEPING | _generation_keys()
    unknown: dict[str, Json] = {
        name: value
        for name, value in content.items()
        if not (
            value is None
            or name in accepted
            or name.startswith("_")
            or name.endswith(INERT_ENDINGS)
            or (name in switched_off and value == switched_off[name])
            or (name in defaults and value == defaults[name])
        )
    }
    known_keys = ROPE_KEYS | family.rope_keys
    for section in rope_sections(content).values():
        if isinstance(section, Mapping):
            unknown |= {f"rope_parameters.{key}": section[key] for key in section if key not in known_keys}
    return unknown


def _refuse_reserved(content: Mapping[str, Any], unknown: Mapping[str, Any], where: str) -> None:
    """FamilyError for names of methods and properties: as attributes they would override the class."""
    kind = config_class(content)
    field_names = {field.name for field in fields(kind)}
    reserved = [name for name in unknown if hasattr(kind, name) and name not in field_names]
    if reserved:
        raise FamilyError(
            f"{where}: the attribute {reserved[0]} is reserved by transformers and may change layers in ways "
            "that the table does not describe; remove it from the file, or name another checkpoint"
        )


@cache
def _generation_keys() -> frozenset[str]:
    """Settings of generation, which older transformers kept in config.json."""
    from transformers import GenerationConfig

    return frozenset(GenerationConfig().to_dict())


def _refusal(where: str, family: Family, unknown: Mapping[str, Any]) -> str:
    named = list(unknown)[:NAMED]
    remaining = len(unknown) - len(named)
    listed = ", ".join(f"{name} = {_short(unknown[name])}" for name in named)
    flags = " ".join(f"--allow-config {name}" for name in named)
    more = f" and {remaining} more" if remaining else ""
    noun, clause = ("attribute", "it does") if len(unknown) == 1 else ("attributes", "they do")
    return (
        f"{where}: the {family.name} table does not know the {noun} {listed}{more}; if {clause} not change "
        f"the layers, pass {flags}{more}, or set the recipe's allow_config"
    )


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
