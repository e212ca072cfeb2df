"""Whole models and tokenizers in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from tailored_llama.checkpoint.config import TOKENIZER_KEY
from tailored_llama.checkpoint.files import TOKENIZER_FILES, read_json
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.weights import Checkpoint, Weights, open_weights, widest_dtype
from tailored_llama.errors import CheckpointError


def load_model(
    model: str | Path | PreTrainedModel | Weights,
    *,
    dtype: Literal["auto"] | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> PreTrainedModel:
    """The model, in eval mode. A model in memory is moved, not copied.

    `auto` is the precision of the weights as stored, whatever config.json says of it: where tensors differ,
    one that holds all of them exactly. Raises CheckpointError, FamilyError.
    """
    if isinstance(model, PreTrainedModel):
        return model.to(device=device, dtype=model.dtype if dtype == "auto" else dtype).eval()
    weights = open_weights(model) if isinstance(model, (str, Path)) else model
    wanted = widest_dtype(weights) if dtype == "auto" else dtype
    loaded: PreTrainedModel
    if isinstance(weights, Checkpoint):
        hf_logging.disable_progress_bar()  # a bar for each of a run's many models says nothing
        loaded = AutoModelForCausalLM.from_pretrained(
            weights.directory, config=copy.deepcopy(weights.config), dtype=wanted,
            trust_remote_code=weights.trust_remote_code,
        )  # fmt: skip
    else:
        loaded = _assemble(weights, wanted)
    return loaded.to(device).eval()


def _assemble(weights: Weights, dtype: torch.dtype) -> PreTrainedModel:
    """A model from weights that are no directory: built once, then filled tensor by tensor."""
    loaded: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(weights.config), dtype=dtype)
    with torch.no_grad():
        for name in weights.names():
            loaded.get_parameter_or_buffer(name).copy_(weights.tensor(name))
    return loaded


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in the directory of `model`; CheckpointError where there is none."""
    directory = resolve(model)
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(f"{directory} holds no tokenizer; copy its base's tokenizer files into it")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, config=_made_for(directory)
        )
    except Exception as error:  # tokenizers and transformers raise bare Exceptions for a damaged file
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{directory}: tokenizer does not load ({reason}); copy it again") from None
    return tokenizer


def _made_for(directory: Path) -> PreTrainedConfig | None:
    """A config of the model type that the tokenizer was made for, where that is not the model's own."""
    path = directory / "config.json"
    content = read_json(path) if path.is_file() else {}
    if TOKENIZER_KEY not in content:
        return None
    return AutoConfig.for_model(content[TOKENIZER_KEY], tokenizer_class=content.get("tokenizer_class"))
