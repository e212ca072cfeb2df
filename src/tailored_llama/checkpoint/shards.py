"""Where the tensors of a directory lie: index and headers, read and checked before any weight is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

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
"""Pickles that trainers leave beside a model, and that hold none."""


@dataclass(frozen=True)
class Stored:
    """One tensor on the disk; `dtype` as safetensors spells it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Layout:
    """Files that may together hold a model; with an index, `mapped` is its {tensor: file}.

    An index may be out of date in both directions: what the files' headers say is what is there.
    """

    directory: Path
    files: Sequence[Path]
    mapped: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> dict[str, Stored]:
        """Every tensor of the files. Of one that several have, the index decides; without it they have to
        agree. Raises CheckpointError where they do not, or a file is truncated.
        """
        found: dict[str, Stored] = {}
        for path in self.files:
            for name, stored in _header(path).items():
                if name not in found or self.mapped.get(name) == path.name:
                    found[name] = stored
                elif name not in self.mapped and not _equal(found[name], stored, name):
                    raise CheckpointError(
                        f"{path}: {name} is stored in {found[name].file.name} too, with other values; "
                        "remove the file that does not belong to the model"
                    )
        return found

    def lost(self, names: Iterable[str]) -> str | None:
        """Why the first of `names` that the index mentions is not there; None where it mentions none."""
        mentioned = [name for name in names if name in self.mapped]
        if not mentioned:
            return None
        file = self.directory / self.mapped[mentioned[0]]
        if not file.is_file():
            return f"{file}: shard is missing ({INDEX} names it); download it again"
        there = [name for name in mentioned if self.mapped[name] == file.name]
        return f"{file}: lacks {some(there)}, which {INDEX} puts there; download both again"


def layouts(directory: Path) -> list[Layout]:
    """What may be the model of `directory`, in the order in which transformers looks: the single file, the
    files of the index; then a complete set of numbered shards, else the only safetensors file there is.

    Raises CheckpointError for a directory without safetensors, for pickles, and for a damaged index.
    """
    files = weight_files(directory)
    found = [Layout(directory, [path]) for path in files if path.name == SINGLE]
    if (directory / INDEX).is_file() and not (found and _is_stale(directory, files)):
        mapped = _weight_map(directory / INDEX)
        named = set(mapped.values())
        found.append(Layout(directory, [path for path in files if path.name in named], mapped))
    found += [Layout(directory, shards) for shards in numbered_shards(files)]
    if not found and len(files) == 1:
        found = [Layout(directory, files)]
    if not found:
        raise CheckpointError(_without_safetensors(directory, files))
    return found


def read_tensor(stored: Stored, name: str) -> Tensor:
    """One tensor, mapped from its file. The mapping goes with it, so memory is that of the tensors in use."""
    with safe_open(stored.file, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def some(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`."""
    listed = list(names)
    rest = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + rest


def _equal(one: Stored, other: Stored, name: str) -> bool:
    alike = (one.shape, one.dtype) == (other.shape, other.dtype)
    return alike and torch.equal(read_tensor(one, name), read_tensor(other, name))


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
    where = read_json(path).get("weight_map")
    if not isinstance(where, dict) or not where or not all(_is_name(file) for file in where.values()):
        raise CheckpointError(f"{path}: no weight_map of tensor names to files beside it; download it again")
    return where


def _is_stale(directory: Path, files: Sequence[Path]) -> bool:
    """Whether the index beside a single file names no other file that is there, or says nothing at all."""
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
            f"{directory}: {some(path.name for path in files)} are no complete set of shards, and there is "
            f"no {SINGLE} or {INDEX}; download the missing files"
        )
    if (directory / ADAPTER_CONFIG).is_file():
        return adapter_message(directory)
    left = {path for pattern in NO_WEIGHTS for path in directory.glob(pattern)}
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern) if path not in left)
    if pickles:
        return (
            f"only pickled weights ({some(pickles)}) in {directory}: reading them can run code; convert to "
            "safetensors first, e.g. by from_pretrained() and save_pretrained() if you trust them"
        )
    return f"no {SINGLE} or {INDEX} in {directory}; name a directory with safetensors weights"
