"""Where the tensors of a directory lie: index and headers, read and checked before any weight is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tailored_llama.checkpoint.files import read_json
from tailored_llama.errors import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Stored:
    """One tensor on the disk; `dtype` as safetensors spells it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def read_headers(directory: Path) -> dict[str, Stored]:
    """Every tensor of the checkpoint in `directory`, from the headers alone.

    Raises CheckpointError for pickles, and for shards that are missing, truncated or at odds with the index.
    """
    if (directory / SINGLE).is_file():
        return _header(directory / SINGLE)
    if not (directory / INDEX).is_file():
        raise CheckpointError(_without_safetensors(directory))
    where = _weight_map(directory / INDEX)
    headers = {file: _header(directory / file) for file in dict.fromkeys(where.values())}
    lost = [name for name, file in where.items() if name not in headers[file]]
    if lost:
        raise CheckpointError(
            f"{directory / where[lost[0]]}: lacks {some(lost)}, which {INDEX} puts there; download both again"
        )
    return {name: headers[file][name] for name, file in where.items()}


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


def _header(path: Path) -> dict[str, Stored]:
    if not path.is_file():
        raise CheckpointError(f"{path}: shard is missing ({INDEX} names it); download it again")
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


def _is_name(file: object) -> bool:
    return isinstance(file, str) and Path(file).name == file


def _without_safetensors(directory: Path) -> str:
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    if pickles:
        return (
            f"only pickled weights ({some(pickles)}) in {directory}: reading them can run code; convert to "
            "safetensors first, e.g. by from_pretrained() and save_pretrained() if you trust them"
        )
    return f"no {SINGLE} or {INDEX} in {directory}; name a directory with safetensors weights"
