"""GGUF, the file that llama.cpp and all that is built on it run from.

Layers that are all alike are written as the architecture `llama`. Layers with widths of their own are
written as `deci`, which reads head counts and MLP widths per layer; stock llama.cpp loads both.
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
    vocabulary and the chat template come from the tokenizer in `tokenizer_dir`; None writes a file without
    vocabulary, for programs that bring token ids (llama.cpp's server does not start without), unless
    `vocabulary` gives one. Everything
    that llama.cpp would not compute or tokenise alike is refused before the first byte, and an `out` that
    exists is only replaced if it is a GGUF file. Raises RecipeError (dtype), FamilyError (what the model
    computes), CheckpointError (tokenizer, weights), OutputError (path, space).
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
