"""Access to weights one tensor at a time, from disk or from a model in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama.checkpoint.config import check_model, expected_tensors, read_config
from tailored_llama.checkpoint.digests import cached_values, digest_file
from tailored_llama.checkpoint.files import digest_directory
from tailored_llama.checkpoint.kinds import check_stored
from tailored_llama.checkpoint.match import match
from tailored_llama.checkpoint.refused import note_adapter
from tailored_llama.checkpoint.shards import DTYPES, read_tensor
from tailored_llama.errors import NotFiniteError
from tailored_llama.progress import track


@runtime_checkable
class Weights(Protocol):
    """A config and its tensors, read one by one."""

    config: PreTrainedConfig

    def names(self) -> list[str]:
        """Names of the persistent parameters in state-dict order; tied parameters once."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        ...

    def dtype(self, name: str) -> torch.dtype:
        """The stored precision of a tensor, without reading it."""
        ...

    def tensor(self, name: str) -> Tensor:
        """The tensor. It may share memory with its source: do not modify it in place."""
        ...


class Checkpoint:
    """The weights of a checkpoint directory, mapped lazily from safetensors.

    Opening reads the config and the headers only, and raises CheckpointError or FamilyError if the directory
    does not contain the complete model. Tensors that the model does not use are ignored with one warning that
    names them (no warning for the rotary buffers of old checkpoints).
    """

    def __init__(
        self, directory: str | Path, allow_config: Sequence[str] = (), *, trust_remote_code: bool = False
    ) -> None:
        self.directory = Path(directory)
        self.config = read_config(
            self.directory, allow_config=allow_config, trust_remote_code=trust_remote_code
        )
        self.trust_remote_code = trust_remote_code
        check_stored(self.directory, int(self.config.num_hidden_layers))
        expected, tied = expected_tensors(self.config, trust_remote_code=trust_remote_code)
        self._stored = match(self.directory, expected, tied)
        note_adapter(self.directory)

    @cached_property
    def digest(self) -> str:
        """sha256 over the files of the model (see `digest_directory`)."""
        return digest_directory(self.directory)

    @property
    def content(self) -> str:
        """sha256, in hex, over the config and the files with weights."""
        files = {stored.file for _, stored in self._stored.values()} | {self.directory / "config.json"}
        lines = [f"{file.name}\0{digest_file(file)}\n" for file in sorted(files)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def names(self) -> list[str]:
        return list(self._stored)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._stored[name][1].shape

    def dtype(self, name: str) -> torch.dtype:
        return DTYPES[self._stored[name][1].dtype]

    def tensor(self, name: str) -> Tensor:
        stored_name, stored = self._stored[name]
        return read_tensor(stored, stored_name)


class ModelWeights:
    """The weights of a model in memory; nothing is copied."""

    def __init__(self, model: PreTrainedModel, allow_config: Sequence[str] = ()) -> None:
        self.model = model
        self.config: PreTrainedConfig = check_model(model, allow_config)
        self._names = [name for name in model.state_dict() if name not in model.all_tied_weights_keys]

    def names(self) -> list[str]:
        return list(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensor(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        return self.tensor(name).dtype

    def tensor(self, name: str) -> Tensor:
        parameter: Tensor = self.model.get_parameter_or_buffer(name)
        return parameter.detach()


def check_finite(weights: Weights) -> None:
    """CheckpointError with the name of the first tensor with NaN or Inf; reads every tensor once."""
    for name in track(weights.names(), "checking weights"):
        require_finite(name, weights.tensor(name), place_of(weights))


def require_finite_model(model: nn.Module) -> None:
    """CheckpointError if a parameter of a model in memory contains NaN or Inf."""
    for name, parameter in model.named_parameters():
        if parameter.dtype in DTYPES.values():
            require_finite(name, parameter.detach(), "the model in memory")


def require_finite(name: str, tensor: Tensor, place: str = "") -> None:
    """CheckpointError if `tensor` contains NaN or Inf; `place` is its origin, for the message."""
    # Minimum and maximum suffice (both propagate NaN) and, unlike isfinite, do not copy the tensor.
    extremes = torch.stack(tensor.aminmax())
    if not bool(torch.isfinite(extremes).all()):
        kind = "NaN" if bool(torch.isnan(extremes).any()) else "Inf"
        raise NotFiniteError(
            f"{place}{': ' if place else ''}{name} contains {kind}; the checkpoint is damaged, download or "
            "train it again"
        )


def place_of(weights: Weights) -> str:
    """The directory of `weights` for a message, or ""."""
    return str(weights.directory) if isinstance(weights, Checkpoint) else ""


def weights_digest(weights: Weights) -> str:
    """sha256, in hex, over names, shapes and values of all parameters, one tensor in memory at a time.

    Values are converted to fp32, so a bf16 checkpoint, its fp32 copy and another sharding have the same
    digest. The digest of files is cached until their contents change (see `digests`).
    """
    if isinstance(weights, Checkpoint):
        return cached_values(weights.content, lambda: _values_digest(weights))
    return _values_digest(weights)


def _values_digest(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name in track(sorted(weights.names()), "digest of weights"):
        tensor = weights.tensor(name)
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()


def widest_dtype(weights: Weights) -> torch.dtype:
    """A precision that represents every tensor of `weights` exactly."""
    dtypes = {weights.dtype(name) for name in weights.names()}
    widest = dtypes.pop()
    for dtype in dtypes:
        widest = torch.promote_types(widest, dtype)
    return widest
