"""Tokenization of text: all text that a model reads is encoded here.

A tokenizer may add special tokens around a text. Leading ones (a beginning-of-sequence token) are kept: the
model saw them in training. Trailing ones (an end-of-sequence token, by `add_eos_token` or a post-processor)
are dropped: after a prompt they would end the text before the answer, and after an answer they would be
scored as its last token.

A tokenizer may have more tokens than the model's embedding has rows. That is an error only if a text uses one
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tailored_llama.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = list[int]
PROBES = ("a", "0", ".", "的")
"""Texts that reveal which special tokens a tokenizer adds; the first one that it can encode is used."""


class Encoder:
    """A tokenizer without trailing special tokens, as every stage uses it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> Ids:
        """Ids of `text` with the tokenizer's leading special tokens, unless the text already starts with the
        beginning-of-sequence token (or end-of-sequence, if the tokenizer has no other).
        """
        tokenizer = self.tokenizer
        first = tokenizer.bos_token if tokenizer.bos_token is not None else tokenizer.eos_token
        if first is not None and text.startswith(first):
            return self.bare(text)
        # The caller truncates and counts texts that exceed the context; verbose=False silences the warning.
        return self.without_suffix(list(tokenizer.encode(text, verbose=False)), text)

    def bare(self, text: str) -> Ids:
        """Ids of `text` without special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    @property
    def start(self) -> int:
        """The token that stands for an empty context: beginning of sequence, else end of sequence.

        Raises DataError if the tokenizer defines neither.
        """
        tokenizer = self.tokenizer
        token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if token is None:
            raise DataError(
                "the tokenizer has neither a beginning- nor an end-of-sequence token, so an empty context "
                "cannot be scored; use a prompt that begins with text"
            )
        return int(token)

    @property
    def before(self) -> tuple[int, ...]:
        """Special tokens that the tokenizer adds before a text."""
        return self._around[0]

    @property
    def behind(self) -> tuple[int, ...]:
        """Special tokens that the tokenizer adds after a text."""
        return self._around[1]

    def without_suffix(self, ids: Ids, text: str) -> Ids:
        """`ids` of `text` without the trailing special tokens, if there are any."""
        size = len(self.behind)
        if not size or tuple(ids[-size:]) != self.behind:
            return ids
        return ids[:-size] if len(ids) == len(self.before) + len(self.bare(text)) + size else ids

    @cached_property
    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        for probe in PROBES:
            bare, full = self.bare(probe), list(self.tokenizer.encode(probe))
            for start in range(len(full) - len(bare) + 1):
                if bare and full[start : start + len(bare)] == bare:
                    return tuple(full[:start]), tuple(full[start + len(bare) :])
        return (), ()


def check_ids(ids: Sequence[int], rows: int, tokenizer: PreTrainedTokenizerBase, place: str = "") -> None:
    """Check that every id has a row in the model's embedding, which has `rows` rows.

    Raises CheckpointError that names the first id out of range, and `place`, the origin of the text.
    """
    if ids and not 0 <= min(ids) <= max(ids) < rows:
        beyond = next(index for index in ids if not 0 <= index < rows)
        text = tokenizer.convert_ids_to_tokens(beyond)
        raise CheckpointError(
            f"{place}{': ' if place else ''}token {beyond} ({text!r}) has no row in an embedding of {rows}, "
            f"and the tokenizer has {len(tokenizer)} tokens; use the tokenizer that belongs to the model, or "
            "text without that token"
        )
