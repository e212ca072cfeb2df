"""A checkpoint's config, read without running foreign code, and the tensors that it implies."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tailored_llama import families, shaped
from tailored_llama.checkpoint.accepted import ALLOWED_KEY, accepted_now, remembered
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.kinds import check_wrapper, content_of, drop_quantisation, without_quantisation
from tailored_llama.checkpoint.refused import RUNTIME_KEYS, refuse_other_files, set_aside_runtime
from tailored_llama.checkpoint.spelling import check_spellings
from tailored_llama.errors import CheckpointError, FamilyError
from tailored_llama.recipe import suggest

TOKENIZER_KEY = "tokenizer_model_type"
"""Key in config.json for the model type of the tokenizer files, if it differs from the model's.

AutoTokenizer chooses its class by model type: a llama saved as mistral would get different tokens from the
same files (" leading space" becomes 3 tokens instead of 2).
"""


def read_config(
    directory: Path, *, allow_config: Sequence[str] = (), trust_remote_code: bool = False
) -> PreTrainedConfig:
    """The validated config in `directory`: a known family, no unknown attributes, no value outside its range.

    `allow_config` names unknown attributes to accept, in addition to those that an earlier call accepted (see
    `accepted.py`); the config stores their names. Raises CheckpointError, FamilyError.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise CheckpointError(_without_config(directory))
    content = PreTrainedConfig._decode_special_floats(read_json(path))
    refuse_other_files(path, content)
    drop_quantisation(content, directory, str(path))
    check_wrapper(content, str(path))
    family = str(content.get("model_type"))
    if trust_remote_code and content.get("auto_map"):
        return _config_by_remote_code(directory, allow_config)
    _refuse_remote_code(path, family, content)
    if family not in CONFIG_MAPPING:
        known = sorted(families.family_names())
        raise FamilyError(
            f"{path}: unknown model_type {family[:60]!r}{suggest(family, known)}; known: {', '.join(known)}"
        )
    allowed = _check(content, allow_config, str(path))
    if allowed:
        content[ALLOWED_KEY] = allowed
    check_spellings(path, content)
    values = {
        key: value
        for key, value in families.as_floats(content).items()
        if key not in RUNTIME_KEYS and not key.startswith("_")
    }
    try:
        config: PreTrainedConfig = CONFIG_MAPPING[family].from_dict(values, name_or_path=str(directory))
    except Exception as error:  # transformers and its validators raise many types of errors
        raise CheckpointError(f"{path}: {_last_line(error)}; correct it or download it again") from None
    return config


def check_model(model: PreTrainedModel, allow_config: Sequence[str] = ()) -> PreTrainedConfig:
    """The config of a model in memory, validated as in `read_config`.

    The names of accepted attributes are stored in the model's config. If the config describes quantised
    weights that the model does not have, the result is a copy without that description.
    """
    where = "the model in memory"
    config = without_quantisation(model, where)
    _check_in_memory(config, allow_config, where)
    if config is not model.config and hasattr(config, ALLOWED_KEY):
        setattr(model.config, ALLOWED_KEY, getattr(config, ALLOWED_KEY))
    return config


def _check_in_memory(config: PreTrainedConfig, allow_config: Sequence[str], where: str) -> None:
    content = content_of(config, where)
    check_wrapper(content, where)
    allowed = _check(content, allow_config, where)
    if allowed:
        setattr(config, ALLOWED_KEY, allowed)


def _check(content: Mapping[str, Any], allow_config: Sequence[str], where: str) -> list[str]:
    """The accepted unknown attributes in `content`; FamilyError if there are others."""
    families.check_known(content, where)
    allow = {*allow_config, *accepted_now(), *remembered(content, where)}
    families.check_config(content, [*allow, TOKENIZER_KEY, ALLOWED_KEY], where=where)
    return sorted(allow & families.unknown_attributes(content).keys())


def _config_by_remote_code(directory: Path, allow_config: Sequence[str]) -> PreTrainedConfig:
    """The config, loaded by the class that came with the checkpoint."""
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(directory, trust_remote_code=True)
    except Exception as error:  # remote code can raise anything
        raise CheckpointError(f"{directory / 'config.json'}: {_last_line(error)}") from None
    set_aside_runtime(config)
    _check_in_memory(config, allow_config, str(directory / "config.json"))
    return config


def tokenizer_type(directory: Path) -> str | None:
    """The model type that the tokenizer in `directory` was made for, or None if unknown."""
    path = directory / "config.json"
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content.get(TOKENIZER_KEY) or content.get("model_type")


def expected_tensors(
    config: PreTrainedConfig, *, trust_remote_code: bool = False
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """The persistent tensors of a model with this config: {name: shape}, tied tensors once; {tied name:
    source}.
    """
    try:
        with torch.device("meta"), no_init_weights():
            skeleton = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), trust_remote_code=trust_remote_code
            )
    except Exception as error:  # a combination of values that the range checks do not cover
        raise CheckpointError(
            f"{config.name_or_path or 'config'}: transformers cannot build this model ({_last_line(error)}); "
            "correct config.json or download it again"
        ) from None
    tied: dict[str, str] = dict(skeleton.all_tied_weights_keys)
    return {n: tuple(t.shape) for n, t in skeleton.state_dict().items() if n not in tied}, tied


def _refuse_remote_code(path: Path, family: str, content: Mapping[str, Any]) -> None:
    if not content.get("auto_map") or family in _shaped_types() or _names_stock_classes(family, content):
        return  # the stock class is used; the checkpoint's code does not run
    raise FamilyError(
        f"{path}: auto_map requires code that came with the checkpoint; read that code, then pass "
        "trust_remote_code=True, or name another checkpoint"
    )


def _names_stock_classes(family: str, content: Mapping[str, Any]) -> bool:
    """Whether `auto_map` names the stock classes, as in families that were on the hub before they were in
    transformers (Phi-3).
    """
    if family not in families.family_names() or not isinstance(content["auto_map"], dict):
        return False
    stock = {
        "AutoConfig": CONFIG_MAPPING[family].__name__,
        "AutoModelForCausalLM": families.architecture(family),
    }
    # Tokenizers are always loaded without remote code.
    named = {
        auto: str(name).rpartition(".")[2]
        for auto, name in content["auto_map"].items()
        if auto != "AutoTokenizer"
    }
    return named.items() <= stock.items() and content.get("architectures") == [families.architecture(family)]


def _without_config(directory: Path) -> str:
    if (directory / "adapter").is_dir():
        return f"{directory} contains only an adapter; name its base as the model and this as --adapter"
    return f"{directory} has no config.json; name a checkpoint directory"


def _shaped_types() -> set[str]:
    return {family.config.model_type for family in shaped.FAMILIES.values()}


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:300] if lines else type(error).__name__
