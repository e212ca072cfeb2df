"""Loading of the model to be tuned or healed, and writing of the result."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import TuneError
from tailored_llama.machine import device_named
from tailored_llama.results import TrainingStep
from tailored_llama.training.precision import Requested, choose_precision

Base: TypeAlias = PreTrainedModel | Path
HISTORY = TrainingStep.file


def load_base(base: Base, precision: Requested, device: str | None) -> tuple[PreTrainedModel, torch.dtype]:
    """The base model for training, and the dtype of its checkpoint.

    The model computes in that dtype, except in fp32 if fp32 was requested; an fp16 checkpoint computes in
    bf16 where the device does so natively, else in fp32: pruned models overflow in fp16.
    Raises NotFiniteError for weights with NaN or Inf, and the errors of loading.
    """
    if isinstance(base, PreTrainedModel):
        checkpoint.require_finite_model(base)
        stored = base.dtype
        wanted = computing_dtype(stored, precision, base.device)
        return copy.deepcopy(base).to(wanted), stored
    place = torch.device(device_named(device))
    weights = checkpoint.open_weights(base)
    stored = checkpoint.widest_dtype(weights)
    # Loaded in the computing dtype: a model that is converted afterwards is in memory twice.
    wanted = computing_dtype(stored, precision, place)
    return checkpoint.load_model(weights, dtype=wanted, device=place), stored


def computing_dtype(stored: torch.dtype, precision: Requested, device: torch.device) -> torch.dtype:
    """The dtype of the weights in training, for a checkpoint in the dtype `stored`."""
    if choose_precision(precision, device) == "fp32":
        return torch.float32
    return torch.bfloat16 if stored == torch.float16 else stored


def tokenizer_of(base: Base, tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    """`tokenizer` if given, else that of the base directory; TuneError for a model in memory without one."""
    if tokenizer is not None:
        return tokenizer
    if isinstance(base, Path):
        return checkpoint.load_tokenizer(base)
    if not Path(base.name_or_path or "-").is_dir():
        raise TuneError("a model in memory has no tokenizer; pass it: tokenizer=...")
    return checkpoint.load_tokenizer(Path(base.name_or_path))


def write_model(
    model: PreTrainedModel | checkpoint.Weights,
    folder: Path,
    base: Base,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    """Write `model`, which was loaded from `base`, to `folder`, with the base's tokenizer."""
    on_disk = isinstance(base, Path)
    weights = checkpoint.ModelWeights(model) if isinstance(model, PreTrainedModel) else model
    checkpoint.write_checkpoint(weights, folder, copy_from=base if on_disk else None)
    if not on_disk:
        checkpoint.write_tokenizer(tokenizer_of(base, tokenizer), folder)


def write_history(history: Sequence[TrainingStep], folder: Path) -> None:
    """Write the record of every step to `folder` as JSON lines."""
    checkpoint.write_lines(folder / HISTORY, [step.to_json() for step in history])
