"""Weights, wherever they are: on the disk or in a model, one tensor at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama.checkpoint.config import check_family, expected_tensors, load_config
from tailored_llama.checkpoint.digests import cached_values, digest_file
from tailored_llama.checkpoint.files import digest_directory
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.shards import DTYPES, Stored, read_headers, read_tensor, some
from tailored_llama.errors import CheckpointError
from tailored_llama.progress import track


@runtime_checkable
class Weights(Protocol):
    """A config and the tensors that belong to it, read one by one."""

    config: PreTrainedConfig

    def names(self) -> list[str]:
        """Persistent parameters as the state dict names them and in its order; tied ones once."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        ...

    def dtype(self, name: str) -> torch.dtype:
        """The precision a tensor is stored in, without reading it."""
        ...

    def tensor(self, name: str) -> Tensor:
        """The tensor itself. It may share memory with its source: never change it in place."""
        ...


class Checkpoint:
    """The weights of a checkpoint directory, mapped lazily from safetensors.

    Opening reads the config and the headers only, and raises CheckpointError or FamilyError where the
    directory does not hold the whole model. Tensors that the model has no place for (the rotary buffers of
    old checkpoints) are ignored.
    """

    def __init__(
        self, directory: str | Path, allow_config: Sequence[str] = (), *, trust_remote_code: bool = False
    ) -> None:
        self.directory = Path(directory)
        self.config = load_config(
            self.directory, allow_config=allow_config, trust_remote_code=trust_remote_code
        )
        self.trust_remote_code = trust_remote_code
        expected, tied = expected_tensors(self.config, trust_remote_code=trust_remote_code)
        self._stored = _match(self.directory, read_headers(self.directory), expected, tied)

    @cached_property
    def digest(self) -> str:
        """sha256 over the files that make the model (see `digest_directory`)."""
        return digest_directory(self.directory)

    @property
    def content(self) -> str:
        """sha256 over the config and the files that hold weights, in hex."""
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
        self.config = model.config
        check_family(self.config, allow_config)
        self._names = [name for name in model.state_dict() if name not in model.all_tied_weights_keys]

    def names(self) -> list[str]:
        return list(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensor(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        return self.tensor(name).dtype

    def tensor(self, name: str) -> Tensor:
        found: Tensor = self.model.get_parameter_or_buffer(name)
        return found.detach()


def open_weights(
    model: str | Path | PreTrainedModel, *, allow_config: Sequence[str] = (), trust_remote_code: bool = False
) -> Weights:
    """The weights of a directory, hub id, `world` or model in memory. Raises CheckpointError, FamilyError."""
    if isinstance(model, PreTrainedModel):
        return ModelWeights(model, allow_config)
    if isinstance(model, (str, Path)):
        return Checkpoint(resolve(model), allow_config, trust_remote_code=trust_remote_code)
    raise CheckpointError(
        f"a {type(model).__name__} is no model to read; give a directory, a hub id or a transformers model "
        "(of a peft model: merge_and_unload() first)"
    )


def check_finite(weights: Weights) -> None:
    """CheckpointError with the name of the first tensor that holds NaN or Inf; reads every tensor once."""
    for name in track(weights.names(), "checking weights"):
        require_finite(name, weights.tensor(name))


def require_finite(name: str, tensor: Tensor) -> None:
    """CheckpointError where `tensor` holds NaN or Inf."""
    # The extremes tell (NaN is passed on by both) and, unlike isfinite, need no copies of the tensor.
    extremes = torch.stack(tensor.aminmax())
    if not bool(torch.isfinite(extremes).all()):
        kind = "NaN" if bool(torch.isnan(extremes).any()) else "Inf"
        raise CheckpointError(f"{name} holds {kind}; the checkpoint is damaged, download or train it again")


def weights_digest(weights: Weights) -> str:
    """sha256 over names, shapes and values of all parameters in hex, one tensor in memory at a time.

    Of the values as fp32, so that a bf16 checkpoint, its fp32 copy and another sharding of it are one base.
    Of files it is computed once, as long as their contents stay (see `digests`).
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
    """The one precision that holds every tensor of `weights` exactly."""
    dtypes = {weights.dtype(name) for name in weights.names()}
    widest = dtypes.pop()
    for dtype in dtypes:
        widest = torch.promote_types(widest, dtype)
    return widest


def _match(
    directory: Path, stored: dict[str, Stored], expected: dict[str, tuple[int, ...]], tied: dict[str, str]
) -> dict[str, tuple[str, Stored]]:
    """{parameter: (its name on the disk, where it lies)}; CheckpointError where disk and config disagree."""
    found = {name: name for name in expected if name in stored}
    for copy_name, source in tied.items():
        if source in stored and copy_name in stored:
            _check_tied(directory, stored, copy_name, source)
        elif copy_name in stored:
            found[source] = copy_name
    missing = [name for name in expected if name not in found]
    if missing:
        raise CheckpointError(f"{directory}: lacks {some(missing)}; it is not whole, download it again")
    for name, shape in expected.items():
        where = stored[found[name]]
        if where.shape != shape:
            raise CheckpointError(
                f"{where.file}: {name} is {list(where.shape)} where config.json asks for {list(shape)}; "
                "config and weights are not of one model"
            )
        if where.dtype not in DTYPES:
            raise CheckpointError(
                f"{where.file}: {name} is stored as {where.dtype}; quantised weights cannot be cut, "
                "name the unquantised checkpoint"
            )
    return {name: (found[name], stored[found[name]]) for name in expected}


def _check_tied(directory: Path, stored: dict[str, Stored], copy_name: str, source: str) -> None:
    if not torch.equal(read_tensor(stored[copy_name], copy_name), read_tensor(stored[source], source)):
        raise CheckpointError(
            f"{directory}: config.json ties {copy_name} to {source} but they differ; "
            "set tie_word_embeddings to false in config.json"
        )
