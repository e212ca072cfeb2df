"""Adapters on the disk: found, held against the base they were tuned on, put on it, folded into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.load import load_model
from tailored_llama.checkpoint.weights import open_weights, weights_digest
from tailored_llama.errors import CheckpointError, TuneError

if TYPE_CHECKING:
    from peft import PeftModel

FOLDER = "adapter"
CONFIG_FILE = "adapter_config.json"
BASE_FILE = "base.json"


def load_tuned(
    base: str | Path | PreTrainedModel,
    directory: str | Path,
    *,
    dtype: Literal["auto"] | torch.dtype = "auto",
    device: torch.device | str = "cpu",
) -> PeftModel:
    """The tuned model: `base` with the adapter of the tuned directory (or adapter folder) `directory` on it.

    A model in memory is changed in place (peft's `unload` gives it back). Raises TuneError where there is no
    adapter, or it was tuned on other weights than those of `base`.
    """
    from peft import PeftModel  # seconds, which not every stage should pay

    folder = find_adapter(directory)
    weights = open_weights(base)
    theirs, ours = adapter_base(folder), weights_digest(weights)
    if theirs != ours:
        raise TuneError(
            f"adapter {folder} was tuned on base {theirs[:8]}, this base is {ours[:8]}; "
            "name the base it belongs to"
        )
    model = load_model(base if isinstance(base, PreTrainedModel) else weights, dtype=dtype, device=device)
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except (SafetensorError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TuneError(f"adapter {folder} does not load: {reason}; tune again") from None


def merge_adapter(adapted: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """The plain model with the adapters folded into its matrices, in `dtype`; TuneError for NaN or Inf."""
    try:
        merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True).to(dtype)
    except ValueError as error:
        raise TuneError(f"the adapter cannot be merged: {error}; tune again in fp32") from None
    return merged


def find_adapter(directory: str | Path) -> Path:
    """The adapter folder in (or at) `directory`, or TuneError."""
    for folder in (Path(directory) / FOLDER, Path(directory)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise TuneError(f"{directory} holds no {CONFIG_FILE}; name a directory that tune wrote")


def adapter_base(folder: Path) -> str:
    """The `weights_digest` of the base that an adapter was tuned on."""
    try:
        return str(read_json(folder / BASE_FILE)["weights"])
    except (CheckpointError, KeyError):
        raise TuneError(
            f"adapter {folder} does not say which base it belongs to ({BASE_FILE}); tune again"
        ) from None
