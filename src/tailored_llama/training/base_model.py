"""The model that is tuned or healed: how it comes into memory, and how it goes back to the disk."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import TuneError
from tailored_llama.training.precision import choose_precision

Base: TypeAlias = PreTrainedModel | Path
HISTORY = "history.jsonl"


def load_base(base: Base, precision: str, device: str | None) -> tuple[PreTrainedModel, torch.dtype]:
    """The base, ready to be changed, and the dtype of its checkpoint.

    Raises NotFiniteError for weights with NaN or Inf, and what loading raises. It computes in that dtype, but
    where fp32 was asked for, or the checkpoint is fp16, in fp32: fp16 overflows, and most CPUs have no
    arithmetic for it.
    """
    if isinstance(base, PreTrainedModel):
        checkpoint.require_finite_model(base)
        model = copy.deepcopy(base)
    else:
        model = checkpoint.load_model(base, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = model.dtype
    if dtype == torch.float16 or choose_precision(precision, model.device) == "fp32":  # type: ignore[arg-type]
        model = model.float()
    return model, dtype


def tokenizer_of(base: Base, given: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    """The tokenizer that was given, else the base's own; TuneError where a model in memory has none."""
    if given is not None:
        return given
    if isinstance(base, Path):
        return checkpoint.load_tokenizer(base)
    if not Path(base.name_or_path or "-").is_dir():
        raise TuneError("a model in memory says nothing about its tokenizer; give it: tokenizer=...")
    return checkpoint.load_tokenizer(Path(base.name_or_path))


def write_model(
    model: PreTrainedModel, folder: Path, base: Base, tokenizer: PreTrainedTokenizerBase | None
) -> None:
    """Write `model`, which came from `base`, into `folder`, with the base's tokenizer beside it."""
    on_disk = isinstance(base, Path)
    checkpoint.write_checkpoint(checkpoint.ModelWeights(model), folder, copy_from=base if on_disk else None)
    if not on_disk:
        checkpoint.write_tokenizer(tokenizer_of(base, tokenizer), folder)


def write_history(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the record of every step into `folder`, a line each."""
    checkpoint.write_lines(folder / HISTORY, history)
