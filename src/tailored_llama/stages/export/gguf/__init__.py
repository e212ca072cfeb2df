"""GGUF, the file format of llama.cpp and the programs built on it.

A model whose layers are alike is written as the architecture `llama`. A model with per-layer widths is
written as `deci`, which has head counts and MLP widths per layer. Stock llama.cpp loads both.
"""

from __future__ import annotations

from pathlib import Path

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import RecipeError
from tailored_llama.recipe import suggest
from tailored_llama.stages.export.gguf.metadata import describe
from tailored_llama.stages.export.gguf.tensors import KINDS, list_tensors
from tailored_llama.stages.export.gguf.tokenizer import Vocabulary, nameless, read_vocabulary
from tailored_llama.stages.export.gguf.writer import write_file

__all__ = ["KINDS", "nameless", "to_gguf"]


def to_gguf(
    weights: Weights,
    out: Path,
    *,
    tokenizer_dir: Path | None,
    dtype: str = "f16",
    vocabulary: Vocabulary | None = None,
) -> Path:
    """Write `weights` as the GGUF file `out`, one tensor in memory at a time, and return its path.

    `dtype` is f32, f16, bf16 or q8_0 (blocks of 32 weights of 8 bits with one scale); vectors stay f32. The
    vocabulary and the chat template come from the tokenizer in `tokenizer_dir`. If it is None, the file has
    the given `vocabulary`, or none; a file without a vocabulary is for programs that pass token ids
    (llama.cpp's server does not start with it). A model or tokenizer that llama.cpp would compute differently
    is refused before anything is written, and an existing `out` is only replaced if it is a GGUF file. Raises
    RecipeError (dtype), FamilyError (architecture), CheckpointError (tokenizer, weights), OutputError (path,
    space).
    """
    if dtype not in KINDS:
        raise RecipeError(f"gguf: no dtype '{dtype}'{suggest(dtype, KINDS)}; there are {', '.join(KINDS)}")
    out = Path(out)
    model = describe(weights.config)
    tensors = list_tensors(weights, model.architecture, KINDS[dtype])
    if tokenizer_dir is not None:
        vocabulary = read_vocabulary(tokenizer_dir, int(weights.config.vocab_size))
    write_file(out, model, vocabulary, tensors, KINDS[dtype])
    return out
