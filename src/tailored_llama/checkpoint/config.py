"""A checkpoint's config, read without running any code of others, and the tensors that it promises."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tailored_llama import shaped
from tailored_llama.checkpoint.contents import ADAPTER_CONFIG
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.refused import refuse_other_files, set_aside_runtime
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.shards import is_adapter
from tailored_llama.checkpoint.spelling import check_spellings
from tailored_llama.errors import CheckpointError, FamilyError

TOKENIZER_KEY = "tokenizer_model_type"
"""In config.json, the model type that the tokenizer files were made for, where it is not the model's own.

AutoTokenizer picks its class by model type: a llama that is saved as mistral would get other tokens from the
same files (" leading space" becomes 3 tokens instead of 2).
"""


def load_config(
    model: str | Path, *, allow_config: Sequence[str] = (), trust_remote_code: bool = False
) -> PreTrainedConfig:
    """The config of `model` (see `resolve`), checked: a known family with no attribute that we do not know.

    `allow_config` names attributes to accept all the same. Raises CheckpointError, FamilyError.
    """
    directory = resolve(model)
    path = directory / "config.json"
    if not path.is_file():
        raise CheckpointError(_without_config(directory))
    content = read_json(path)
    refuse_other_files(path, content)
    _refuse_foreign_code(directory, content, trust_remote_code)
    family = content.get("model_type")
    if not isinstance(family, str) or (family not in CONFIG_MAPPING and not trust_remote_code):
        raise FamilyError(f"{path}: unknown model_type {family!r}; known: {', '.join(_families())}")
    check_spellings(path, content)
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers and its validators raise many kinds
        raise CheckpointError(f"{path}: {_last_line(error)}; mend it or download it again") from None
    set_aside_runtime(config)
    check_family(config, allow_config)
    return config


def check_family(config: PreTrainedConfig, allow_config: Sequence[str] = ()) -> None:
    """FamilyError where the tables of slices do not cover `config`."""
    from tailored_llama import families

    families.check_config(config, (*allow_config, TOKENIZER_KEY))


def tokenizer_type(directory: Path) -> str | None:
    """The model type that the tokenizer in `directory` was made for, or None where nothing says so."""
    path = directory / "config.json"
    content = read_json(path) if path.is_file() else {}
    return content.get(TOKENIZER_KEY) or content.get("model_type")


def expected_tensors(
    config: PreTrainedConfig, *, trust_remote_code: bool = False
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """The persistent tensors of a model of `config`: {name: shape}, tied ones once; {tied name: source}."""
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(
            copy.deepcopy(config), trust_remote_code=trust_remote_code
        )
    tied: dict[str, str] = dict(skeleton.all_tied_weights_keys)
    return {n: tuple(t.shape) for n, t in skeleton.state_dict().items() if n not in tied}, tied


def _refuse_foreign_code(directory: Path, content: dict[str, Any], trusted: bool) -> None:
    if "auto_map" not in content or trusted or content.get("model_type") in _shaped_types():
        return
    if _names_stock_classes(content):
        return  # and those are what is loaded: nothing of the checkpoint's own code is run
    raise FamilyError(
        f"{directory / 'config.json'}: auto_map asks to run code that came with the checkpoint; "
        "read that code, then say trust_remote_code=True, or name another checkpoint"
    )


def _names_stock_classes(content: dict[str, Any]) -> bool:
    """Whether the code that came with a checkpoint is that of the stock class, as of families that were on
    the hub before they were in transformers (Phi-3)."""
    from tailored_llama import families

    family = str(content.get("model_type"))
    if family not in families.family_names() or not isinstance(content["auto_map"], dict):
        return False
    stock = {
        "AutoConfig": CONFIG_MAPPING[family].__name__,
        "AutoModelForCausalLM": families.architecture(family),
    }
    asked = {auto: str(name).rpartition(".")[2] for auto, name in content["auto_map"].items()}
    return asked.items() <= stock.items() and content.get("architectures") == [families.architecture(family)]


def _without_config(directory: Path) -> str:
    if (directory / ADAPTER_CONFIG).is_file():
        return is_adapter(directory)
    if (directory / "adapter").is_dir():
        return f"{directory} holds only an adapter; name its base as the model and this as --adapter"
    return f"{directory} holds no config.json; name a checkpoint directory"


def _shaped_types() -> set[str]:
    return {family.config.model_type for family in shaped.FAMILIES.values()}


def _families() -> list[str]:
    from tailored_llama import families

    return sorted(families.family_names())


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
