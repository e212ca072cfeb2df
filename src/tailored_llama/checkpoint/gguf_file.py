"""GGUF files as input: inspection, and conversion to a checkpoint directory.

transformers' own GGUF reader reads and dequantises tensors and tokenizer. The result is a normal checkpoint
with an additional file ORIGIN: the source file and its quantisation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from tailored_llama.checkpoint.contents import ORIGIN
from tailored_llama.checkpoint.digests import cache_directory, digest_file
from tailored_llama.checkpoint.disk import make_directory, require_room, write_json, write_text
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.partial import partial_path, remove
from tailored_llama.checkpoint.weights import ModelWeights, check_finite
from tailored_llama.checkpoint.write import write_checkpoint, write_tokenizer
from tailored_llama.errors import CheckpointError, FamilyError, RecipeError
from tailored_llama.families import family_named, family_names

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
MAGIC = b"GGUF"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GgufInfo:
    """The header of a GGUF file."""

    path: Path
    architecture: str
    quantization: str
    """The type of most weights, as llama.cpp names it: Q4_1, Q8_0, F16."""
    parameters: int
    name: str | None
    license: str | None
    languages: tuple[str, ...]
    has_tokenizer: bool

    @property
    def origin(self) -> dict[str, str | None]:
        """The content of ORIGIN."""
        return {
            "file": self.path.name, "sha256": digest_file(self.path), "architecture": self.architecture,
            "quantization": self.quantization, "name": self.name, "license": self.license,
        }  # fmt: skip


def inspect_gguf(path: str | Path) -> GgufInfo:
    """Read and check the header of a GGUF file.

    Raises CheckpointError for a file that is missing, not GGUF, or truncated, FamilyError for an architecture
    without a table of slices.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); name a GGUF file") from None
    if magic != MAGIC:
        raise CheckpointError(f"{path}: not a GGUF file (it does not begin with 'GGUF'); name another file")
    reader = _reader(path)
    architecture = _field(reader, "general.architecture")
    known = [table.gguf_import for table in map(family_named, family_names()) if table.gguf_import]
    if architecture not in known:
        form = (
            " (per-layer widths; import the checkpoint directory instead)" if architecture == "deci" else ""
        )
        raise FamilyError(
            f"{path}: the architecture '{architecture}' cannot be imported{form}; known: {', '.join(known)}"
        )
    size = path.stat().st_size
    for tensor in reader.tensors:
        if tensor.data_offset + tensor.n_bytes > size:
            raise CheckpointError(f"{path}: truncated at tensor {tensor.name}; download it again")
    counts: dict[str, int] = {}
    for tensor in reader.tensors:
        kind = tensor.tensor_type.name
        counts[kind] = counts.get(kind, 0) + int(tensor.n_elements)
    return GgufInfo(
        path=path, architecture=str(architecture), quantization=max(counts, key=lambda kind: counts[kind]),
        parameters=sum(counts.values()), name=_field(reader, "general.name"),
        license=_field(reader, "general.license"), languages=tuple(_field(reader, "general.languages") or ()),
        has_tokenizer=_field(reader, "tokenizer.ggml.model") not in (None, "none", "no_vocab"),
    )  # fmt: skip


def convert_gguf(path: str | Path, out: Path, dtype: str = "bf16") -> GgufInfo:
    """Write the model in the GGUF file `path` as a checkpoint into the directory `out`, in `dtype`.

    `dtype` is bf16, f16 or f32. Writes config, safetensors, tokenizer with chat template, ORIGIN, and a
    README.md with name and licence. The whole model is held in memory in `dtype`. Raises RecipeError
    (dtype), OutputError (room), and what `inspect_gguf` raises.
    """
    if dtype not in DTYPES:
        raise RecipeError(f"import: no dtype '{dtype}'; known: {', '.join(DTYPES)}")
    info = inspect_gguf(path)
    require_room(out, info.parameters * DTYPES[dtype].itemsize + 2**25)
    model, tokenizer = _read(info, DTYPES[dtype])
    weights = ModelWeights(model)
    check_finite(weights)
    write_checkpoint(weights, out)
    if tokenizer is not None:
        write_tokenizer(tokenizer, out)
    else:
        log.warning("%s has no tokenizer, so the checkpoint has none", info.path.name)
    if model.generation_config is not None and info.has_tokenizer:
        model.generation_config.save_pretrained(out)
    write_json(out / ORIGIN, info.origin)
    write_text(out / "README.md", _card(info, dtype))
    return info


def imported(path: Path) -> Path:
    """The checkpoint of a GGUF file in the user's cache, in bf16; converted on first use."""
    info = inspect_gguf(path)
    place = cache_directory() / "imports" / f"{path.stem}-{digest_file(path)[:16]}-bf16"
    if (place / ORIGIN).is_file():
        return place
    log.info("importing %s (%s) into %s", path.name, info.quantization, place)
    partial = partial_path(place)
    make_directory(partial)
    try:
        convert_gguf(path, partial)
        if not place.exists():
            partial.rename(place)
    finally:
        remove(partial)
    return place


def origin_of(directory: str | Path) -> dict[str, JsonValue]:
    """The content of ORIGIN in `directory`; empty if the weights do not come from a GGUF file."""
    path = Path(directory) / ORIGIN
    return read_json(path) if path.is_file() else {}


def _reader(path: Path) -> Any:
    from gguf import GGUFReader

    try:
        return GGUFReader(path)
    except Exception as error:  # the type depends on where the file is truncated
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: damaged or truncated GGUF ({reason}); download it again") from None


def _field(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _read(info: GgufInfo, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer, read by transformers' GGUF reader; the result is an ordinary unquantised model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    place = {"gguf_file": info.path.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            info.path.parent, dtype=dtype, quantization_config=GgufConfig(dequantize=True), **place
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(info.path.parent, **place) if info.has_tokenizer else None
    except Exception as error:  # transformers, gguf and tokenizers raise many types of errors
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{info.path}: transformers cannot read it ({reason})") from None
    # Remove the attributes that mark the model as quantised.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for name, value in (("hf_quantizer", None), ("is_quantized", False), ("quantization_method", None)):
        if hasattr(model, name):
            setattr(model, name, value)
    for name in ("_model_name_or_path", "_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    return model, tokenizer


def _card(info: GgufInfo, dtype: str) -> str:
    header = [f"license: {info.license}"] if info.license else []
    header += [f"language: [{', '.join(info.languages)}]"] if info.languages else []
    front = "---\n" + "\n".join(header) + "\n---\n\n" if header else ""
    licence = (
        f"Licence according to the file: {info.license}." if info.license else "The file states no licence."
    )
    return (
        f"{front}# {info.name or info.path.stem}\n\n"
        f"Imported from the GGUF file `{info.path.name}` (architecture {info.architecture}, most weights in "
        f"{info.quantization}), dequantised to {dtype}. {licence}\n"
    )
