"""Keys of config.json and tokenizer_config.json that transformers 5 renamed.

| since 5 | before |
|---|---|
| `rope_parameters.rope_theta` | `rope_theta` |
| `rope_parameters` with a scaling | `rope_scaling` |
| `rope_parameters.partial_rotary_factor`, where a family has it | `partial_rotary_factor` |
| `rope_parameters.full_attention`, where layers differ | `rope_theta`, `rope_scaling` |
| `rope_parameters.sliding_attention.rope_theta` | a key of the family's, as `rope_local_base_freq` |
| `dtype` | `torch_dtype` |

The families' tables have what differs between them (`OlderRope`).

A reader silently uses the default for a missing key: rope_theta 10000 and no scaling. So every config is
written with both spellings, and they must agree in a config that is read.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tailored_llama.errors import CheckpointError
from tailored_llama.families import family_named
from tailored_llama.families.table import OlderRope

log = logging.getLogger(__name__)

LAYER_TYPES = ("full_attention", "sliding_attention")
RENAMED = {"su": "longrope"}
"""Former names of rotary scalings."""


def in_both_spellings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config.json of transformers 5, extended by the keys that older readers need.

    Warns of a rotary embedding that older readers cannot express.
    """
    content = dict(config)
    if content.get("dtype") is not None:
        content["torch_dtype"] = content["dtype"]
    if content.get("rope_parameters"):
        content |= _older_rotation(content["rope_parameters"], _older(content))
    return dict(sorted(content.items()))


def readable_tokenizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a tokenizer_config.json of transformers 5, changed so that older readers can load it.

    tokenizer.json defines the tokenizer completely, so the generic class is used.
    """
    content = {**config, "tokenizer_class": "PreTrainedTokenizerFast"}
    if isinstance(content.get("extra_special_tokens"), list):
        content["additional_special_tokens"] = content.pop("extra_special_tokens")
    return dict(sorted(content.items()))


def check_spellings(path: Path, config: Mapping[str, Any]) -> None:
    """CheckpointError, with both values, if two keys of the config.json `path` contradict each other."""
    for pair in _pairs(config):
        if pair.new != pair.old:
            raise CheckpointError(
                f"{path}: {pair.new_key} is {reprlib.repr(pair.new)} and {pair.old_key} is "
                f"{reprlib.repr(pair.old)}, but both keys have the same meaning; remove the one that is wrong"
            )


class _Pair(NamedTuple):
    new_key: str
    new: Any
    old_key: str
    old: Any


def _pairs(config: Mapping[str, Any]) -> Iterator[_Pair]:
    """All settings that are given in both spellings."""
    if config.get("dtype") is not None and config.get("torch_dtype") is not None:
        yield _Pair("dtype", _plain(config["dtype"]), "torch_dtype", _plain(config["torch_dtype"]))
    scaling = config.get("rope_scaling")
    if isinstance(scaling, dict):
        yield from _within(scaling, "rope_scaling", config)
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict):
        return
    main, name = rope, "rope_parameters"
    if any(isinstance(rope.get(kind), dict) for kind in LAYER_TYPES):
        main, name = rope.get("full_attention") or {}, "rope_parameters.full_attention"
        local, place = rope.get("sliding_attention") or {}, "rope_parameters.sliding_attention"
        key = _older(config).local_theta
        yield from _within(local, place, {"rope_theta": config.get(key) if key else None}, key)
    yield from _within(main, name, config)
    if "rope_scaling" in config:
        old = scaling if isinstance(scaling, dict) else {}
        yield _Pair(f"{name}.rope_type", _kind(main), "rope_scaling.rope_type", _kind(old))
        for key in main.keys() & old.keys() - {"type", "rope_type"}:
            yield _Pair(f"{name}.{key}", main[key], f"rope_scaling.{key}", old[key])


def _within(
    rope: Mapping[str, Any], name: str, config: Mapping[str, Any], old_key: str | None = None
) -> Iterator[_Pair]:
    """Settings given twice: inside the rotary parameters `rope`, or there and in `config`."""
    if rope.get("type") is not None and rope.get("rope_type") is not None:
        yield _Pair(f"{name}.rope_type", _kind(rope), f"{name}.type", _kind({"type": rope["type"]}))
    for key in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings"):
        if rope.get(key) is not None and config.get(key) is not None:
            yield _Pair(f"{name}.{key}", rope[key], old_key or key, config[key])


def _older_rotation(rope: Mapping[str, Any], spelling: OlderRope) -> dict[str, Any]:
    """The rotary parameters `rope` as keys for older readers."""
    main, local = rope.get("full_attention") or rope, rope.get("sliding_attention")
    older: dict[str, Any] = {"rope_theta": main["rope_theta"]}
    scaling = _scaling(main, spelling)
    if scaling is not None:
        older["rope_scaling"] = scaling
    if spelling.partial:
        older["partial_rotary_factor"] = main.get("partial_rotary_factor", 1.0)
    if local is not None:
        if spelling.local_theta:
            older[spelling.local_theta] = local["rope_theta"]
        same = spelling.local_theta is not None or local["rope_theta"] == main["rope_theta"]
        if _kind(local) != "default" or not same:
            log.warning(
                "config.json: transformers before 5 cannot read rope_parameters.sliding_attention = %s; "
                "load the checkpoint with transformers 5",
                local,
            )
    return older


def _scaling(rope: Mapping[str, Any], spelling: OlderRope) -> dict[str, Any] | None:
    """`rope_scaling` for the rotary parameters `rope`; None without scaling."""
    kind = _kind(rope)
    if kind == "default":
        return None
    excluded = {"rope_theta", "partial_rotary_factor", "type", "rope_type"}
    if not spelling.holds_length:
        excluded.add("original_max_position_embeddings")
    scaling = {key: value for key, value in rope.items() if key not in excluded and value is not None}
    for key, value in scaling.items():
        if type(value) is int and key != "original_max_position_embeddings":
            scaling[key] = float(value)  # older readers warn if a factor is an integer
    return {spelling.type_key: kind, **scaling}


def _kind(rope: Mapping[str, Any]) -> str:
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    return RENAMED.get(kind, kind)


def _older(config: Mapping[str, Any]) -> OlderRope:
    return family_named(str(config.get("model_type"))).older_rope


def _plain(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
