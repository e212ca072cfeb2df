"""Loading of the models to be scored, with an adapter, and of the reference model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import CheckpointError
from tailored_llama.machine import device_named
from tailored_llama.recipe import Evaluate

ModelLike: TypeAlias = str | Path | PreTrainedModel


def load(
    model: ModelLike,
    adapter: Path | None,
    device: str | None,
    base_unchecked: bool,
    precision: Literal["stored", "fp32"],
) -> PreTrainedModel:
    """`model` with its `adapter` merged, on `device`; by default the GPU if there is one."""
    place, wide = device_of(model, device), precision == "fp32"
    if adapter is None:
        loaded = checkpoint.load_model(model, device=place)
        if not wide or loaded.dtype == torch.float32:
            return loaded
        copied = copy.deepcopy(loaded) if isinstance(model, PreTrainedModel) else loaded
        return copied.float()
    # Adapters modify the model's modules, so a model of the caller is copied.
    base = copy.deepcopy(model) if isinstance(model, PreTrainedModel) else model
    adapted = checkpoint.load_tuned(base, adapter, base_unchecked=base_unchecked, device=place)
    if wide:
        adapted = adapted.float()
    return checkpoint.merge_adapter(adapted, adapted.dtype).eval()


def reference_of(
    settings: Evaluate, reference: ModelLike | None, model: PreTrainedModel
) -> PreTrainedModel | None:
    """The model that predictions are compared with; None unless `settings.kl`."""
    if not settings.kl or reference is None:
        return None
    other = load(reference, None, str(model.device), base_unchecked=False, precision=settings.precision)
    if model.config.vocab_size != other.config.vocab_size:
        raise CheckpointError(
            f"the reference has a vocabulary of {other.config.vocab_size}, the model of "
            f"{model.config.vocab_size}; name the unpruned model that it was pruned from"
        )
    return other


def device_of(model: ModelLike, device: str | None) -> str:
    """The device for `model`; without a request, a model in memory is not moved."""
    if isinstance(model, PreTrainedModel) and device is None:
        return str(model.device)
    return device_named(device)


def tokenizer_of(model: ModelLike) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint; CheckpointError for a model in memory, which has none."""
    if isinstance(model, PreTrainedModel):
        raise CheckpointError("a model in memory needs its tokenizer: evaluate(model, tokenizer=...)")
    return checkpoint.load_tokenizer(model)
