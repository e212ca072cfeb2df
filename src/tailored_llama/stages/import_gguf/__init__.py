"""Import: a checkpoint directory from a GGUF file."""

from __future__ import annotations

from pathlib import Path

from tailored_llama.checkpoint.digests import digest_file
from tailored_llama.checkpoint.gguf_file import convert_gguf, inspect_gguf
from tailored_llama.stage import Stage, complete

__all__ = ["import_gguf"]


def import_gguf(file: str | Path, *, out: str | Path, dtype: str = "bf16") -> Path:
    """Write the model in a GGUF `file` as a checkpoint directory `out` and return `out`.

    Weights are dequantised by transformers' GGUF reader and written as `dtype` (bf16, f16, f32), with config,
    tokenizer, chat template, a README.md with name and licence, and `origin.json`: name and digest of the
    file, and its quantisation. A complete `out` is reused.

    Raises CheckpointError for a file that is missing, not GGUF, truncated or unreadable, FamilyError for an
    architecture without a table of slices, RecipeError for another dtype, OutputError for an `out` that
    contains something else.
    """
    source = Path(file).expanduser().resolve()
    info = inspect_gguf(source)
    stage = Stage(
        name="import",
        settings={"dtype": dtype, "architecture": info.architecture, "quantization": info.quantization},
        inputs=lambda: {"file": digest_file(source)},
        produce=lambda directory: _produce(source, directory, dtype),
    )
    return complete(stage, out)


def _produce(source: Path, directory: Path, dtype: str) -> None:
    convert_gguf(source, directory, dtype)
