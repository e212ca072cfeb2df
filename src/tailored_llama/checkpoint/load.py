"""Whole models and tokenizers in memory."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.initialization import no_init_weights

from tailored_llama.checkpoint.config import TOKENIZER_KEY, check_model
from tailored_llama.checkpoint.contents import CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILES, is_there
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.open import open_weights
from tailored_llama.checkpoint.refused import refuse_other_files, refuse_tokenizer_code
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.weights import (
    Checkpoint,
    Weights,
    place_of,
    require_finite,
    require_finite_model,
    widest_dtype,
)
from tailored_llama.errors import CheckpointError
from tailored_llama.memory import out_of_memory
from tailored_llama.progress import note_once

log = logging.getLogger(__name__)


def load_model(
    model: str | Path | PreTrainedModel | Weights,
    *,
    dtype: Literal["auto"] | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> PreTrainedModel:
    """The model, in eval mode. A model in memory is moved, not copied.

    `dtype="auto"` is the stored precision of the weights, regardless of config.json; if tensors differ, one
    that represents all of them exactly. Raises CheckpointError (also for a tensor with NaN or Inf) and
    FamilyError.
    """
    if isinstance(model, PreTrainedModel):
        check_model(model)
        require_finite_model(model)
        return model.to(device=device, dtype=model.dtype if dtype == "auto" else dtype).eval()
    weights = open_weights(model) if isinstance(model, (str, Path)) else model
    wanted = widest_dtype(weights) if dtype == "auto" else dtype
    return _assemble(weights, wanted, torch.device(device)).eval()


def _assemble(weights: Weights, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A model from `weights` alone: built on `device` without values, then filled tensor by tensor, so that
    the host holds one tensor of it.

    transformers' `from_pretrained` would read files that were not checked and digested: another index, an
    adapter next to the weights, code.
    """
    trusted = isinstance(weights, Checkpoint) and weights.trust_remote_code
    # Buffers, such as rotary frequencies, are computed on the CPU, whose results do not depend on the device.
    with no_init_weights(), init_empty_weights(include_buffers=False):
        loaded: PreTrainedModel = AutoModelForCausalLM.from_config(
            copy.deepcopy(weights.config), dtype=dtype, trust_remote_code=trusted
        )
    for module in loaded.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty_like(parameter, device=device)
            module.register_parameter(name, nn.Parameter(empty, parameter.requires_grad))
    loaded.to(device)
    loaded.tie_weights()  # normally part of the initialisation, which is skipped
    with torch.no_grad():
        for name in weights.names():
            tensor = weights.tensor(name)
            require_finite(name, tensor, place_of(weights))
            loaded.get_parameter_or_buffer(name).copy_(tensor)
    if isinstance(weights, Checkpoint):
        loaded.name_or_path = str(weights.directory)
        loaded.generation_config = generation_config(weights.directory) or loaded.generation_config
    return loaded


def generation_config(directory: Path) -> GenerationConfig | None:
    """The content of generation_config.json in `directory`, or None. Raises CheckpointError."""
    path = directory / GENERATION_FILE
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        config: GenerationConfig = GenerationConfig.from_dict(content)
    except Exception as error:  # transformers validates values and raises many types of errors
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path}: {reason}; correct or remove the file") from None
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if not all(end is None or type(end) is int for end in ends):
        raise CheckpointError(f"{path}: eos_token_id is {config.eos_token_id!r}; give a token id, or a list")
    return config


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in the directory of `model`; CheckpointError if there is none, or it needs code or files
    other than TOKENIZER_FILES.
    """
    directory = resolve(model)
    if not any(is_there(directory / name) for name in TOKENIZER_FILES):
        raise CheckpointError(f"{directory} has no tokenizer; copy the base model's tokenizer files into it")
    made_for = _tokenizer_config(directory)
    refuse_tokenizer_code(directory)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, config=made_for, trust_remote_code=False, mistral_format=False, local_files_only=True
        )
        ids = tokenizer.get_vocab().values()
        if len(set(ids)) < len(ids):  # of some such tokenizers no copy can be made, which scoring needs
            copy.deepcopy(tokenizer)
    except Exception as error:  # tokenizers and transformers raise bare Exceptions for a damaged file
        if out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{directory}: tokenizer does not load ({reason}); copy it again") from None
    named = getattr(tokenizer, "vocab_files_names", {}).values()
    extra_files = sorted(name for name in {*named} - {*TOKENIZER_FILES} if is_there(directory / name))
    if extra_files:
        raise CheckpointError(
            f"{directory}: {type(tokenizer).__name__} reads {', '.join(extra_files)}, which is unsupported; "
            "save the tokenizer in the standard form (tokenizer.json)"
        )
    _without_dropout(tokenizer, directory)
    return tokenizer


def _without_dropout(tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Removes BPE dropout, which gives a text other tokens each time; one warning."""
    model: Any = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    if getattr(model, "dropout", None):
        note_once(log, f"{directory}: tokenizer.json has a dropout of {model.dropout:g}, which is ignored")
        model.dropout = None


def _tokenizer_config(directory: Path) -> PreTrainedConfig | None:
    """A config of the model type that the tokenizer was made for, or None if it is the model's."""
    path = directory / CONFIG_FILE
    content = read_json(path) if path.is_file() else {}
    refuse_other_files(path, content)
    if TOKENIZER_KEY not in content:
        return None
    return AutoConfig.for_model(content[TOKENIZER_KEY], tokenizer_class=content.get("tokenizer_class"))
