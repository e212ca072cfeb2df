"""The message for an architecture without a table: which family is nearest, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from tailored_llama.errors import FamilyError
from tailored_llama.families.attributes import BOOKKEEPING, INERT_ENDINGS
from tailored_llama.families.table import Family, family_named, family_names
from tailored_llama.strict_json import Json

ATTENTION = ("full_attention", "sliding_attention", "chunked_attention", "attention")
TYPES = ("layer_types", "layers_block_type", "block_types", "_block_types")
"""Attributes that list the type of each layer."""
OTHER_LAYERS = re.compile(
    r"(mamba|ssm|linear_(conv|key|num|value)|rwkv|lru|conv_l|hybrid|state_size|time_mix)"
)
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
NAMED = 3  # attributes in a message
SHOWN = 40  # characters of a value in a message


def check_known(content: Mapping[str, Json], where: str = "config.json") -> None:
    """FamilyError, which begins with `where`, if there is no table for the architecture of `content`: for a
    hybrid why nothing of it can be cut, otherwise the nearest family and the attributes that it lacks.
    """
    name = str(content.get("model_type"))
    if name.removeprefix("shaped_") not in family_names():
        reason = _other_layers(content) or _nearest(content, name)
        raise FamilyError(
            f"{where}: no table of slices for the architecture '{name[:60]}'; {reason}; `tailor families` "
            f"lists what can be cut"
        )


def _other_layers(content: Mapping[str, Json]) -> str | None:
    """For a model with layers other than attention (Mamba, DeltaNet, convolutions)."""
    for key in TYPES:
        types = content.get(key)
        listed = types if isinstance(types, list) else []
        odd = sorted({str(kind) for kind in listed} - {*ATTENTION})
        if odd:
            return _hybrid(f"{key} has {odd[0][:SHOWN]}")
    keys = [key for key, value in content.items() if value is not None and OTHER_LAYERS.match(key.lower())]
    return _hybrid(f"it has {keys[0]} = {_short(content[keys[0]])}") if keys else None


def _hybrid(why: str) -> str:
    return f"it has layers without attention ({why}), and nothing of such a model can be cut"


def _nearest(content: Mapping[str, Json], name: str) -> str:
    tables = map(family_named, family_names())
    lacking = {table.name: _lacking(content, table) for table in tables}

    def distance(other: str) -> tuple[int, int, float]:
        own = family_named(other).known - content.keys()
        return len(lacking[other]), len(own), -SequenceMatcher(None, name, other).ratio()

    nearest = min(lacking, key=distance)
    missing = [key for key in SIZES if key not in content]
    if missing:
        return f"the nearest is {nearest}, but the config has no {missing[0]}"
    unknown = lacking[nearest]
    if not unknown:
        return (
            f"the nearest is {nearest}, which has the same attributes: if the layers compute the same, "
            f"write a table (docs/guide/plugins.md)"
        )
    listed = ", ".join(f"{key} = {_short(content[key])}" for key in unknown[:NAMED])
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return f"the nearest is {nearest}, which does not have {listed}{more}"


def _lacking(content: Mapping[str, Json], table: Family) -> list[str]:
    """The attributes of `content` that a family does not have."""
    accepted, general = table.known | table.inert | BOOKKEEPING, _general()
    return [
        key
        for key, value in content.items()
        if value is not None
        and key not in accepted
        and not key.startswith("_")
        and not key.endswith(INERT_ENDINGS)
        and not (key in table.expects and value == table.expects[key])
        and not (key in general and value == general[key])
    ]


@cache
def _general() -> dict[str, Any]:
    """What every config has, with its defaults."""
    from transformers import PreTrainedConfig

    content: dict[str, Any] = PreTrainedConfig().to_dict()
    return content


def _short(value: Json) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
