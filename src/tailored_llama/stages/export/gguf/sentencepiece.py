"""SentencePiece vocabularies, which transformers holds as merges and llama.cpp as scores.

Kudo & Richardson 2018, "SentencePiece". Two neighbouring pieces merge where their text is a piece of the
vocabulary, the one with the highest score first. transformers lists those merges one by one; the order of
that list is all that is left of the scores, and all that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from tailored_llama.errors import CheckpointError

SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}


@dataclass(frozen=True)
class Token:
    """A row of the embedding: its text in the vocabulary and what llama.cpp is to take it for."""

    row: int
    text: str
    kind: TokenType


def kind(token: Token, unknown: int | None) -> TokenType:
    """As `token.kind`, with the kinds that only SentencePiece has: bytes and the unknown."""
    if token.row == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if token.kind == TokenType.NORMAL and _BYTE.fullmatch(token.text) else token.kind


def text(token: Token) -> str:
    """The text to write: what the user defined is looked for as it is typed, with its spaces."""
    return token.text.replace(SPACE, " ") if token.kind == TokenType.USER_DEFINED else token.text


def is_one(parsed: Mapping[str, Any]) -> bool:
    """Whether a parsed tokenizer.json treats text as SentencePiece does: spaces are pieces, no words cut."""
    return bool(parsed["model"].get("byte_fallback")) and _space_rule(parsed) is not None


def space_first(parsed: Mapping[str, Any]) -> bool:
    """Whether a text gets a space before its first word."""
    return bool(_space_rule(parsed))


def _space_rule(parsed: Mapping[str, Any]) -> bool | None:
    normalizer, pre = parsed["normalizer"], parsed["pre_tokenizer"]
    if normalizer is None:
        match pre:
            case {"type": "Metaspace", "replacement": "▁", "split": False, "prepend_scheme": scheme}:
                return bool(scheme != "never")
        return None
    steps = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    if pre is not None or steps not in ([_PREPEND, _REPLACE], [_REPLACE]):
        return None
    return _PREPEND in steps


def scores(directory: Path, parsed: Mapping[str, Any], tokens: Sequence[str]) -> list[float]:
    """A score for each token, which falls with the place of its first merge.

    Raises CheckpointError if the vocabulary is not SentencePiece's: a byte without a piece, or a merge
    that the pieces alone do not tell. llama.cpp would merge differently there.
    """
    vocabulary = parsed["model"]["vocab"]
    merges = [tuple(pair) for pair in parsed["model"]["merges"]]
    splits = {
        (piece[:cut], piece[cut:])
        for piece in vocabulary
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    }
    bytes_there = sum(_BYTE.fullmatch(piece) is not None for piece in vocabulary)
    if splits != set(merges) or bytes_there != 256 or parsed["model"].get("ignore_merges"):
        raise CheckpointError(
            f"{directory}: its tokenizer looks like SentencePiece, but llama.cpp would merge differently "
            f"({len(splits ^ set(merges))} merges, {bytes_there} of 256 bytes); export to hf instead"
        )
    first: dict[str, int] = {}
    for place, (left, right) in enumerate(merges):
        first.setdefault(left + right, place)
    # What no merge makes is a single character or is never looked up.
    return [-float(first.get(token, len(merges))) for token in tokens]
