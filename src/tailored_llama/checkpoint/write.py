"""Writing of checkpoints: streamed into safetensors shards with one tensor in memory at a time."""

from __future__ import annotations

import copy
import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from tailored_llama import shaped
from tailored_llama.checkpoint.config import TOKENIZER_KEY, tokenizer_type
from tailored_llama.checkpoint.contents import (
    GENERATION_FILE,
    INDEX,
    LICENCE_FILES,
    ORIGIN,
    SINGLE,
    TOKENIZER_FILES,
    is_there,
)
from tailored_llama.checkpoint.disk import require_room, write_json, writing
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.refused import refuse_link
from tailored_llama.checkpoint.shards import DTYPES
from tailored_llama.checkpoint.spelling import in_both_spellings, readable_tokenizer
from tailored_llama.checkpoint.weights import Weights, require_finite, widest_dtype
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.progress import track
from tailored_llama.strict_json import to_json

SPELLING = {dtype: name for name, dtype in DTYPES.items()}


def write_checkpoint(
    weights: Weights,
    out: str | Path,
    *,
    copy_from: str | Path | None = None,
    max_shard_bytes: int = 5 * 2**30,
) -> None:
    """Write `weights` to the directory `out`: shards, config.json, and `shaped.py` for the shaped form.

    Tokenizer, chat template, generation and licence files are copied byte for byte from `copy_from`. Raises
    OutputError if `out` already contains a checkpoint or the disk is too full (before anything is written),
    and CheckpointError for a tensor with NaN or Inf; files written until then are removed.
    """
    out = Path(out)
    shards = plan_shards(weights, max_shard_bytes)
    check_room(weights, out, copy_from=copy_from)
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    before = set(out.iterdir())
    if any(path.name == "config.json" or path.suffix == ".safetensors" for path in before):
        raise OutputError(f"{out} already contains a checkpoint; name an empty or new directory")
    try:
        with writing(out):
            _write_shards(weights, shards, out)
            write_config(weights, out, tokenizer_type(Path(copy_from)) if copy_from is not None else None)
            if copy_from is not None:
                copy_extras(copy_from, out)
    except BaseException:
        for path in set(out.iterdir()) - before:
            path.unlink()
        if new:
            out.rmdir()
        raise


def plan_shards(weights: Weights, max_shard_bytes: int) -> dict[str, list[str]]:
    """{file: its tensors}, filled in order; a tensor larger than a shard gets its own shard."""
    shards: list[list[str]] = [[]]
    room = max_shard_bytes
    for name in weights.names():
        size = byte_size(weights, name)
        if shards[-1] and size > room:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= size
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    return {f"model-{i:05}-of-{len(shards):05}.safetensors": names for i, names in enumerate(shards, start=1)}


def byte_size(weights: Weights, name: str) -> int:
    """Bytes of one stored tensor."""
    return torch.Size(weights.shape(name)).numel() * weights.dtype(name).itemsize


def write_config(
    weights: Weights, out: Path, tokenizer: str | None = None, dtype: torch.dtype | None = None
) -> None:
    """Write config.json of `weights`, and `shaped.py` for the shaped form.

    Keys that transformers 5 renamed are written with both names, so that older readers load the same model.
    `tokenizer` is the model type that the tokenizer files were made for; `dtype` the precision of the written
    weights, if it differs from the stored one.
    """
    config = copy.deepcopy(weights.config)
    config.dtype = dtype or widest_dtype(weights)
    for leftover in ("auto_map", "_name_or_path"):  # these refer to the source checkpoint
        if hasattr(config, leftover):
            delattr(config, leftover)
    model: type = AutoModelForCausalLM._model_mapping[type(config)]
    config.architectures = [model.__name__]
    if any(type(config) is family.config for family in shaped.FAMILIES.values()):
        shutil.copyfile(shaped.__file__, out / "shaped.py")
        config.auto_map = shaped.auto_map(config)
    if tokenizer not in (None, config.model_type):
        setattr(config, TOKENIZER_KEY, tokenizer)
    config.validate()
    write_json(out / "config.json", in_both_spellings(json.loads(config.to_json_string())))


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write the files of a tokenizer in memory, readable by transformers 5 and earlier."""
    tokenizer.save_pretrained(str(out))
    path = out / "tokenizer_config.json"
    if tokenizer.is_fast and path.is_file():
        names = {"model_input_names": list(tokenizer.model_input_names)}  # the default differs before 5
        write_json(path, readable_tokenizer(read_json(path) | names))


def copy_extras(source: str | Path, out: Path) -> None:
    """Copy the files that accompany a model's weights, byte for byte: tokenizer, chat template, licence.

    Raises CheckpointError for a broken link or a link to a file of another name.
    """
    for path in _extras(Path(source)):
        shutil.copyfile(path, out / path.name)


def _extras(source: Path) -> list[Path]:
    named = [source / name for name in (GENERATION_FILE, ORIGIN, *TOKENIZER_FILES)]
    licences = [path for pattern in LICENCE_FILES for path in sorted(source.glob(pattern))]
    files = [path for path in named + licences if is_there(path)]
    for path in files:
        refuse_link(path)
    return files


def extra_bytes(source: str | Path) -> int:
    """Bytes of the files in `source` that are copied with its weights (`copy_extras`)."""
    return sum(path.stat().st_size for path in _extras(Path(source)))


def check_room(weights: Weights, out: str | Path, *, copy_from: str | Path | None = None) -> None:
    """OutputError if the disk of `out` is too full for the output of `write_checkpoint`."""
    out = Path(out)
    # Allow a megabyte and 200 bytes per tensor for headers and configs.
    needed = sum(byte_size(weights, name) + 200 for name in weights.names()) + 2**20
    needed += extra_bytes(copy_from) if copy_from is not None else 0
    require_room(out, needed)


def _write_shards(weights: Weights, shards: dict[str, list[str]], out: Path) -> None:
    written = (name for file, names in shards.items() for name in _write_shard(weights, names, out / file))
    for _ in track(written, "writing weights", total=len(weights.names())):
        pass
    if len(shards) > 1:
        total = sum(byte_size(weights, name) for name in weights.names())
        index = {name: file for file, names in shards.items() for name in names}
        write_json(out / INDEX, {"metadata": {"total_size": total}, "weight_map": index})


def _write_shard(weights: Weights, names: list[str], path: Path) -> Iterator[str]:
    """Stream one safetensors file, yielding each tensor's name when it is written.

    The library's own writer needs all tensors of a file in memory; a stream needs only their shapes in
    advance. Layout: length of the header (u64, little-endian), header (JSON), concatenated tensors.
    """
    # Some readers map the file directly: each tensor must start at a multiple of its element size.
    names = sorted(names, key=lambda name: -weights.dtype(name).itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        start, end = end, end + byte_size(weights, name)
        header[name] = {
            "dtype": _spelling(name, weights.dtype(name)),
            "shape": list(weights.shape(name)),
            "data_offsets": [start, end],
        }
    text = to_json(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            tensor = weights.tensor(name)
            assert tuple(tensor.shape) == weights.shape(name), name
            assert tensor.dtype == weights.dtype(name), name
            require_finite(name, tensor)
            file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            yield name


def _spelling(name: str, dtype: torch.dtype) -> str:
    if dtype not in SPELLING:
        raise CheckpointError(
            f"{name} is {dtype}; only floating-point weights can be written, load it unquantised"
        )
    return SPELLING[dtype]
