"""Writes header, vocabulary and tensors to one file, which gets its name only when it is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

from tailored_llama.checkpoint import make_directory, replacing, require_room
from tailored_llama.errors import OutputError
from tailored_llama.progress import track
from tailored_llama.stages.export.gguf.metadata import Model
from tailored_llama.stages.export.gguf.tensors import FileTensor
from tailored_llama.stages.export.gguf.tokenizer import Vocabulary

MAGIC = b"GGUF"
HEADER_ROOM = 16 * 2**20
"""Bytes reserved for names, sizes and vocabulary in the check of free disk space."""
FILE_TYPES = {
    GGMLQuantizationType.F32: LlamaFileType.ALL_F32,
    GGMLQuantizationType.F16: LlamaFileType.MOSTLY_F16,
    GGMLQuantizationType.BF16: LlamaFileType.MOSTLY_BF16,
    GGMLQuantizationType.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}


def write_file(
    out: Path,
    model: Model,
    vocabulary: Vocabulary | None,
    tensors: Sequence[FileTensor],
    kind: GGMLQuantizationType,
) -> None:
    """Write the file, or nothing. Raises OutputError if `out` is no GGUF file or the disk is too small."""
    _check_place(out, tensors)
    with replacing(out) as partial, contextlib.closing(GGUFWriter(partial, model.name)) as writer:
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_name(out.stem)
        writer.add_file_type(FILE_TYPES[kind])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        model.add_to(writer)
        if vocabulary is None:
            writer.add_tokenizer_model("none")
        else:
            vocabulary.add_to(writer)
        _write_tensors(writer, out.name, tensors)


def _write_tensors(writer: GGUFWriter, name: str, tensors: Sequence[FileTensor]) -> None:
    for tensor in tensors:
        # `raw_dtype` decides; the library reads the required NumPy type only without it.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=tensor.kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in track(tensors, f"writing {name}"):
        writer.write_tensor_data(tensor.encoded().view(Checked))
    writer.close()


class Checked(np.ndarray[Any, Any]):
    """An array that is written through the Python file object. `numpy.ndarray.tofile` uses a second buffer of
    the C library, and ignores a full disk when this buffer is flushed.
    """

    def tofile(self, file: BinaryIO) -> None:  # type: ignore[override]
        """Write the values. Raises OSError."""
        file.write(np.ascontiguousarray(self).data.cast("B"))


def _check_place(out: Path, tensors: Sequence[FileTensor]) -> None:
    if out.is_dir():
        raise OutputError(f"{out} is a directory; name the file to write, as in {out / 'model.gguf'}")
    if out.exists() and _first_bytes(out) != MAGIC:
        raise OutputError(f"{out} exists and is not a GGUF file; name another file")
    require_room(out, sum(tensor.nbytes for tensor in tensors) + HEADER_ROOM)
    make_directory(out.parent)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))
