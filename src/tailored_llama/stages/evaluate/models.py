"""The models that are scored: how they come into memory, with an adapter, beside the one to compare with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import CheckpointError
from tailored_llama.recipe import Evaluate

ModelLike: TypeAlias = str | Path | PreTrainedModel


def load(
    model: ModelLike,
    adapter: Path | None,
    device: str | None,
    base_unchecked: bool,
    precision: Literal["stored", "fp32"],
) -> PreTrainedModel:
    """`model` with its `adapter` merged, on `device` or, by default, the GPU where there is one."""
    place, wide = device or device_of(model), precision == "fp32"
    if adapter is None:
        loaded = checkpoint.load_model(model, device=place)
        if not wide or loaded.dtype == torch.float32:
            return loaded
        own = copy.deepcopy(loaded) if isinstance(model, PreTrainedModel) else loaded
        return own.float()
    # Adapters are put into the model's own modules: a model of the caller's is left as it was.
    base = copy.deepcopy(model) if isinstance(model, PreTrainedModel) else model
    adapted = checkpoint.load_tuned(base, adapter, base_unchecked=base_unchecked, device=place)
    if wide:
        adapted = adapted.float()
    return checkpoint.merge_adapter(adapted, adapted.dtype).eval()


def reference_of(
    settings: Evaluate, reference: ModelLike | None, model: PreTrainedModel
) -> PreTrainedModel | None:
    """The model that predictions are compared with, where `settings` ask for it."""
    if not settings.kl or reference is None:
        return None
    other = load(reference, None, str(model.device), base_unchecked=False, precision=settings.precision)
    if model.config.vocab_size != other.config.vocab_size:
        raise CheckpointError(
            f"the reference has a vocabulary of {other.config.vocab_size}, the model of "
            f"{model.config.vocab_size}; name the unpruned model that it was cut from"
        )
    return other


def device_of(model: ModelLike) -> str:
    """Where `model` is computed: a model in memory where it is."""
    if isinstance(model, PreTrainedModel):
        return str(model.device)
    return "cuda" if torch.cuda.is_available() else "cpu"


def tokenizer_of(model: ModelLike) -> PreTrainedTokenizerBase:
    """The tokenizer beside a checkpoint; CheckpointError for a model in memory, which has none."""
    if isinstance(model, PreTrainedModel):
        raise CheckpointError(
            "a model in memory is evaluated with its tokenizer: evaluate(model, tokenizer=...)"
        )
    return checkpoint.load_tokenizer(model)
