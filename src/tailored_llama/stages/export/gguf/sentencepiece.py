"""SentencePiece vocabularies, which transformers stores as merges and llama.cpp as scores.

Kudo & Richardson 2018, "SentencePiece". Two neighbouring pieces are merged if their concatenation is a piece
of the vocabulary, the one with the highest score first. transformers stores a list of these merges without
scores; the order of the list is sufficient to choose equivalent scores.
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
    """A row of the embedding: its text in the vocabulary and its llama.cpp token type."""

    row: int
    text: str
    kind: TokenType


def kind(token: Token, unknown: int | None) -> TokenType:
    """`token.kind`, or one of the types that only SentencePiece has: byte and unknown."""
    if token.row == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if token.kind == TokenType.NORMAL and _BYTE.fullmatch(token.text) else token.kind


def text(token: Token) -> str:
    """The text to write: user-defined tokens are matched verbatim, with plain spaces."""
    return token.text.replace(SPACE, " ") if token.kind == TokenType.USER_DEFINED else token.text


def is_one(parsed: Mapping[str, Any]) -> bool:
    """Whether a parsed tokenizer.json treats text as SentencePiece does: spaces are pieces, and text is not
    split into words.
    """
    return bool(parsed["model"].get("byte_fallback")) and _space_rule(parsed) is not None


def space_first(parsed: Mapping[str, Any]) -> bool:
    """Whether a space is prepended to a text."""
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
    """A score for each token: minus the index of its first merge.

    Raises CheckpointError if the vocabulary is not from SentencePiece: a byte without a piece, or merges that
    do not follow from the pieces. llama.cpp would merge differently.
    """
    vocabulary = parsed["model"]["vocab"]
    merges = [tuple(pair) for pair in parsed["model"]["merges"]]
    splits = {
        (piece[:cut], piece[cut:])
        for piece in vocabulary
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    }
    byte_pieces = sum(_BYTE.fullmatch(piece) is not None for piece in vocabulary)
    if splits != set(merges) or byte_pieces != 256 or parsed["model"].get("ignore_merges"):
        raise CheckpointError(
            f"{directory}: its tokenizer looks like SentencePiece, but llama.cpp would merge differently "
            f"({len(splits ^ set(merges))} merges, {byte_pieces} of 256 bytes); export to hf instead"
        )
    first: dict[str, int] = {}
    for place, (left, right) in enumerate(merges):
        first.setdefault(left + right, place)
    # A token that no merge produces is a single character or is never looked up.
    return [-float(first.get(token, len(merges))) for token in tokens]
