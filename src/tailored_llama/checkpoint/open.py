"""The config and the weights of a model that the user names (see `resolve`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama.checkpoint.config import read_config
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.weights import Checkpoint, ModelWeights, Weights
from tailored_llama.errors import CheckpointError


def load_config(
    model: str | Path, *, allow_config: Sequence[str] = (), trust_remote_code: bool = False
) -> PreTrainedConfig:
    """The config of `model` (see `resolve`), validated as in `read_config`. Raises CheckpointError,
    FamilyError.
    """
    return read_config(resolve(model), allow_config=allow_config, trust_remote_code=trust_remote_code)


def open_weights(
    model: str | Path | PreTrainedModel, *, allow_config: Sequence[str] = (), trust_remote_code: bool = False
) -> Weights:
    """The weights of a directory, hub id, `world` or model in memory. Raises CheckpointError, FamilyError."""
    if isinstance(model, PreTrainedModel):
        return ModelWeights(model, allow_config)
    if isinstance(model, (str, Path)):
        return Checkpoint(resolve(model), allow_config, trust_remote_code=trust_remote_code)
    raise CheckpointError(
        f"cannot read a model from a {type(model).__name__}; give a directory, hub id or transformers model "
        "(of a peft model: merge_and_unload() first)"
    )
