"""General text to learn from: as many tokens as a text has, in pieces of a given length."""

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
"""Tokens of the piece at the end of a text that is still kept."""


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
    """At most `count` pieces of `length` token ids each, in an order drawn by `seed`.

    `source` is `c4`, `world`, or a `.txt`, `.jsonl` or `.safetensors` file; `data` may name a local file for
    c4. Each row is cut into pieces that do not overlap; its last one may be shorter, but not below SHORTEST.
    Raises DataError for a text that is not there or that has no piece, CheckpointError for a token that is
    not one of the `vocabulary` that the model has.
    """
    place = (data or {}).get("c4", "c4") if source == "c4" else source
    if place == "task":
        raise DataError("general text is no rows of tasks; name c4, world or a file")
    check_source(place, "text")
    found: list[list[int]] = []
    for ids in _rows(place, tokenizer, seed):
        pieces = (ids[start : start + length] for start in range(0, len(ids), length))
        found += [piece for piece in pieces if len(piece) >= min(SHORTEST, length)]
        if place == "c4" and len(found) >= count:  # a stream that does not end
            break
    if not found:
        raise DataError(f"text {place}: no row of it has {min(SHORTEST, length)} tokens; give a longer text")
    random.Random(seed).shuffle(found)
    found = found[:count]
    check_ids([token for piece in found for token in piece], vocabulary, tokenizer, f"text {place}")
    return found


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
