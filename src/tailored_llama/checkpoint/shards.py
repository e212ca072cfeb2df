"""The location of the tensors of a checkpoint: index and headers, validated before any weight is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tailored_llama.checkpoint.contents import ADAPTER_CONFIG, INDEX, SINGLE, numbered_shards, weight_files
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.refused import adapter_message
from tailored_llama.errors import CheckpointError

DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
NO_WEIGHTS = ("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "adapter_model.bin")
"""Pickles that trainers save next to a model and that contain no weights."""


@dataclass(frozen=True)
class Stored:
    """One stored tensor; `dtype` in the spelling of safetensors."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Layout:
    """Files that may together form a model; with an index, `mapped` is its {tensor: file}.

    An index may be out of date, so the headers of the files decide which tensors exist.
    """

    directory: Path
    files: Sequence[Path]
    mapped: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> dict[str, Stored]:
        """All tensors of the files. If several files have a tensor, the index decides; without an index their
        values must agree. Raises CheckpointError if they do not, or a file is truncated.
        """
        tensors: dict[str, Stored] = {}
        for path in self.files:
            for name, stored in _header(path).items():
                if name not in tensors or self.mapped.get(name) == path.name:
                    tensors[name] = stored
                elif name not in self.mapped and not _equal(tensors[name], stored, name):
                    raise CheckpointError(
                        f"{path}: {name} is stored in {tensors[name].file.name} too, with different values; "
                        "remove the file that does not belong to the model"
                    )
        return tensors

    def lost(self, names: Iterable[str]) -> str | None:
        """Why the first of `names` that the index mentions is missing; None if it mentions none."""
        mentioned = [name for name in names if name in self.mapped]
        if not mentioned:
            return None
        file = self.directory / self.mapped[mentioned[0]]
        if not file.is_file():
            return f"{file}: shard is missing ({INDEX} names it); download it again"
        absent = [name for name in mentioned if self.mapped[name] == file.name]
        return f"{file}: lacks {some(absent)}, which {INDEX} expects there; download both again"


def layouts(directory: Path) -> list[Layout]:
    """Candidates for the model in `directory`, in transformers' order of preference: the single file, the
    files of the index; then a complete set of numbered shards, or the only safetensors file.

    Raises CheckpointError for a directory without safetensors, for pickles, and for a damaged index.
    """
    files = weight_files(directory)
    candidates = [Layout(directory, [path]) for path in files if path.name == SINGLE]
    if (directory / INDEX).is_file() and not (candidates and _is_stale(directory, files)):
        mapped = _weight_map(directory / INDEX)
        named = set(mapped.values())
        candidates.append(Layout(directory, [path for path in files if path.name in named], mapped))
    candidates += [Layout(directory, shards) for shards in numbered_shards(files)]
    if not candidates and len(files) == 1:
        candidates = [Layout(directory, files)]
    if not candidates:
        raise CheckpointError(_without_safetensors(directory, files))
    return candidates


def read_tensor(stored: Stored, name: str) -> Tensor:
    """One tensor, memory-mapped. The mapping is released with the tensor, so only tensors in use
    take memory.
    """
    with safe_open(stored.file, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def some(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`."""
    listed = list(names)
    rest = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + rest


def _equal(first: Stored, second: Stored, name: str) -> bool:
    same_type = (first.shape, first.dtype) == (second.shape, second.dtype)
    return same_type and torch.equal(read_tensor(first, name), read_tensor(second, name))


def _header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return {n: Stored(path, tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: truncated or damaged ({path.stat().st_size} bytes, {error}); download it again"
        ) from None


def _weight_map(path: Path) -> dict[str, str]:
    where: Any = read_json(path).get("weight_map")
    if not isinstance(where, dict) or not where or not all(_is_name(file) for file in where.values()):
        raise CheckpointError(
            f"{path}: no weight_map from tensor names to files in this directory; download it again"
        )
    return where


def _is_stale(directory: Path, files: Sequence[Path]) -> bool:
    """Whether the index next to a single file names no other existing file, or is empty."""
    try:
        named = set(_weight_map(directory / INDEX).values())
    except CheckpointError:
        return True
    return not named & {path.name for path in files if path.name != SINGLE}


def _is_name(file: object) -> bool:
    return isinstance(file, str) and Path(file).name == file


def _without_safetensors(directory: Path, files: Sequence[Path]) -> str:
    if files:
        return (
            f"{directory}: {some(path.name for path in files)} are an incomplete set of shards, and there is "
            f"no {SINGLE} or {INDEX}; download the missing files"
        )
    if (directory / ADAPTER_CONFIG).is_file():
        return adapter_message(directory)
    ignored = {path for pattern in NO_WEIGHTS for path in directory.glob(pattern)}
    pickles = sorted(
        path.name for pattern in PICKLES for path in directory.glob(pattern) if path not in ignored
    )
    if pickles:
        return (
            f"only pickled weights ({some(pickles)}) in {directory}: reading them can run code; convert to "
            "safetensors first, e.g. by from_pretrained() and save_pretrained() if you trust them"
        )
    return f"no {SINGLE} or {INDEX} in {directory}; name a directory with safetensors weights"
