"""One file with weights and tokenizer for llama.cpp, in f32, f16, bf16 or q8_0."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights
from tailored_llama.stages.export.format import Format
from tailored_llama.stages.export.gguf import to_gguf


def write(weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None:
    """Write the file `out`; see `to_gguf`."""
    to_gguf(weights, out, tokenizer_dir=source, dtype=dtype)


def loading(config: PreTrainedConfig) -> str:
    """One sentence."""
    return "llama.cpp loads the `.gguf` file in this directory; no other file is needed."


GGUF = Format(write, loading, suffix=".gguf", dtypes=True, holds_tokenizer=True)
