"""Unsupported types of checkpoints: quantised weights and multimodal wrappers."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tailored_llama import families
from tailored_llama.checkpoint.shards import Stored, layouts
from tailored_llama.errors import CheckpointError, FamilyError
from tailored_llama.progress import note_once

QUANTISED_KEYS = ("quantization_config", "compression_config", "quantization")
"""Keys of config.json that describe quantised weights: transformers, older compressed-tensors, MLX."""
PARTS = ("text_config", "vision_config", "audio_config", "vision_tower", "img_processor", "embd_layer")
"""Keys that only configs of multimodal models have."""
WHOLE_NUMBERS = ("I64", "BOOL")
"""Types of position ids and masks, which some checkpoints store with the weights."""
FLOATS = ("F64", "F32", "BF16", "F16")
MANY_LAYERS = 128
"""More layers than the largest models of the known families have."""
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
log = logging.getLogger(__name__)


def drop_quantisation(content: dict[str, Any], directory: Path, where: str) -> None:
    """Remove a description of quantised weights from `content` if the weights in `directory` are not
    quantised.

    Logs one warning. CheckpointError if they are quantised or cannot be read.
    """
    keys = [key for key in QUANTISED_KEYS if key in content]
    if not any(content[key] for key in keys):  # null or empty
        for key in keys:
            del content[key]
        return
    method = _method(next(content[key] for key in keys if content[key]))
    readable = _readable(directory)
    if not readable or quantised_tensors(readable[0]):
        raise CheckpointError(_quantised(where, method, content))
    for key in keys:
        note_once(log, f"{where}: {key} ({method}) is ignored: the weights are not quantised")
        del content[key]


def check_stored(directory: Path, layers: int) -> None:
    """CheckpointError if tensors in `directory` are quantised, whatever config.json says, or where they
    are of fewer than `layers` layers, of more than any model has; before a model of that many is laid out.
    """
    readable = _readable(directory)
    for stored in readable[:1]:
        for name in quantised_tensors(stored)[:1]:
            raise CheckpointError(
                f"{stored[name].file}: the weights are quantised ({name} is stored as {stored[name].dtype}); "
                "name the unquantised checkpoint"
            )
    last = max((int(n) for stored in readable for name in stored for n in LAYER.findall(name)), default=-1)
    if layers > max(MANY_LAYERS, last + 1):
        raise CheckpointError(
            f"{directory}: config.json has num_hidden_layers = {layers}, the weights lack layers from "
            f"{last + 1} on; they are not of one model, download it again"
        )


def content_of(config: PreTrainedConfig, where: str) -> dict[str, Any]:
    """The content of a config.json of `config`; CheckpointError if it cannot be serialised."""
    try:
        content: dict[str, Any] = config.to_dict()
    except Exception as error:  # attributes with values that the class does not expect
        raise CheckpointError(
            f"{where}: the config cannot be read ({type(error).__name__}: {error}); load the model again"
        ) from None
    return content


def without_quantisation(model: PreTrainedModel, where: str) -> PreTrainedConfig:
    """The config of `model`; without its description of quantised weights (a copy) if they are not quantised.

    Logs one warning. CheckpointError if they are quantised.
    """
    content = content_of(model.config, where)
    keys = [key for key in QUANTISED_KEYS if content.get(key)]
    if not keys:
        return model.config
    method = _method(content[keys[0]])
    if any(p.element_size() < 2 or not p.is_floating_point() for p in model.parameters()):
        raise CheckpointError(_quantised(where, method, content))
    config = copy.deepcopy(model.config)
    for key in keys:
        note_once(log, f"{where}: {key} ({method}) is ignored: the weights are not quantised")
        delattr(config, key)
    return config


def check_wrapper(content: Mapping[str, Any], where: str) -> None:
    """FamilyError for a multimodal model; the message names the language model inside."""
    name = content.get("model_type")
    parts = [key for key in PARTS if content.get(key) is not None]
    wrapper = isinstance(name, str) and name in CONFIG_MAPPING and CONFIG_MAPPING[name].sub_configs
    if not parts and not wrapper:
        return
    inner = content.get("text_config")
    kind = inner.get("model_type") if isinstance(inner, Mapping) else None
    inside = f" ({kind})" if isinstance(kind, str) else ""
    raise FamilyError(
        f"{where}: {str(name)[:60]} is a multimodal wrapper around a language model{inside}, which cannot be "
        f"pruned; name a text-only checkpoint, of a family of {', '.join(families.family_names())}"
    )


def quantised_tensors(stored: Mapping[str, Stored]) -> list[str]:
    """The tensors with packed or 8-bit numbers."""
    return [name for name, where in stored.items() if where.dtype not in (*FLOATS, *WHOLE_NUMBERS)]


def _readable(directory: Path) -> list[Mapping[str, Stored]]:
    """The tensors of each layout of the weights in `directory` with readable headers."""
    tensors: list[Mapping[str, Stored]] = []
    with suppress(CheckpointError):  # raised again when the weights are read
        for layout in layouts(directory):
            with suppress(CheckpointError):
                tensors.append(layout.tensors)
    return tensors


def _quantised(where: str, method: str, content: Mapping[str, Any]) -> str:
    supported = content.get("model_type") in families.family_names()
    family = "" if supported else f", of a family of {', '.join(families.family_names())}"
    return f"{where}: the weights are quantised ({method}); name the unquantised checkpoint{family}"


def _method(description: Any) -> str:
    """The quantisation method in a description: fp8, gptq, awq, bitsandbytes, compressed-tensors, mxfp4."""
    if not isinstance(description, Mapping):
        return "by an unknown method"
    names: Iterable[Any] = (description.get(key) for key in ("quant_method", "format", "quant_algo"))
    named = next((name for name in names if isinstance(name, str)), None)
    if named is None and any(str(key).startswith(("load_in_", "bnb_")) for key in description):
        named = "bitsandbytes"
    bits = description.get("bits")
    return (named or (f"{bits} bits" if isinstance(bits, int) else "by an unknown method"))[:40]
