"""General text for training: a complete text in pieces of a given length."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from tailored_llama.data.text_windows import IDS, c4_texts, check_source, from_safetensors, jsonl_texts
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import DataError
from tailored_llama.recipe.text import read_text

SHORTEST = 16
"""Minimum number of tokens of the last piece of a text."""


def passages(
    source: str,
    count: int,
    length: int,
    tokenizer: PreTrainedTokenizerBase,
    *,
    vocabulary: int,
    seed: int,
    data: Mapping[str, str] | None = None,
) -> list[list[int]]:
    """At most `count` pieces of `length` token ids each, shuffled with `seed`.

    `source` is `c4`, `world`, or a `.txt`, `.jsonl` or `.safetensors` file; `data` may name a local file for
    c4. Each row is cut into non-overlapping pieces; the last one may be shorter, but has at least SHORTEST
    tokens. Raises DataError for a missing text or one without a piece, CheckpointError for a token outside
    the model's `vocabulary`.
    """
    place = (data or {}).get("c4", "c4") if source == "c4" else source
    if place == "task":
        raise DataError("general text cannot be rows of tasks; name c4, world or a file")
    check_source(place, "text")
    result: list[list[int]] = []
    for ids in _rows(place, tokenizer, seed):
        pieces = (ids[start : start + length] for start in range(0, len(ids), length))
        result += [piece for piece in pieces if len(piece) >= min(SHORTEST, length)]
        if place == "c4" and len(result) >= count:  # the stream does not end
            break
    if not result:
        raise DataError(f"text {place}: no row of it has {min(SHORTEST, length)} tokens; use a longer text")
    random.Random(seed).shuffle(result)
    result = result[:count]
    check_ids([token for piece in result for token in piece], vocabulary, tokenizer, f"text {place}")
    return result


def _rows(place: str, tokenizer: PreTrainedTokenizerBase, seed: int) -> Iterator[list[int]]:
    if Path(place).suffix == IDS:
        yield from from_safetensors(Path(place)).tolist()
        return
    encode = Encoder(tokenizer)
    for text in _texts(place, seed):
        yield encode(text)


def _texts(place: str, seed: int) -> Iterable[str]:
    if place == "c4":
        return c4_texts(seed)
    if place == "world":
        from tailored_llama import world

        return [world.text("train")]
    path = Path(place)
    return jsonl_texts(path) if path.suffix == ".jsonl" else [read_text(path)]
