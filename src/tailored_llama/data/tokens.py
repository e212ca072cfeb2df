"""Text as token ids: the one place where a tokenizer reads the text that a model is given.

A tokenizer may put tokens around a text. Those before it (a beginning-of-sequence token) are what the model
saw in front of its training texts, and stay. Those behind it (an end-of-sequence token, by `add_eos_token` or
by a post-processor) are dropped: behind a prompt they end the text before the model has answered, and behind
an answer they would count as its last token.

A tokenizer may also have more tokens than the model's embedding has rows. That does no harm until a text
uses one of them.
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
"""Texts that show what a tokenizer puts around a text; the first that it has tokens for is taken."""


class Encoder:
    """A tokenizer as every stage uses it: nothing is put behind a text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> Ids:
        """Ids of `text` with what the tokenizer puts before it, but none where the text brings its own
        beginning-of-sequence token (end-of-sequence, where the tokenizer has no other).
        """
        tokenizer = self.tokenizer
        first = tokenizer.bos_token if tokenizer.bos_token is not None else tokenizer.eos_token
        if first is not None and text.startswith(first):
            return self.bare(text)
        # A text longer than the context is cut and counted by the caller; the tokenizer need not warn of it.
        return self.without_suffix(list(tokenizer.encode(text, verbose=False)), text)

    def bare(self, text: str) -> Ids:
        """Ids of `text` with nothing around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    @property
    def start(self) -> int:
        """The token that stands for an empty context: beginning of sequence, else end of sequence.

        Raises DataError where the tokenizer has neither.
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
        """What the tokenizer puts before a text."""
        return self._around[0]

    @property
    def behind(self) -> tuple[int, ...]:
        """What the tokenizer puts behind a text."""
        return self._around[1]

    def without_suffix(self, ids: Ids, text: str) -> Ids:
        """`ids` of `text` without the tokens that the tokenizer put behind it, where it did."""
        size = len(self.behind)
        if not size or tuple(ids[-size:]) != self.behind:
            return ids
        return ids[:-size] if len(ids) == len(self.before) + len(self.bare(text)) + size else ids

    @cached_property
    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        for probe in PROBES:
            bare, whole = self.bare(probe), list(self.tokenizer.encode(probe))
            for start in range(len(whole) - len(bare) + 1):
                if bare and whole[start : start + len(bare)] == bare:
                    return tuple(whole[:start]), tuple(whole[start + len(bare) :])
        return (), ()


def check_ids(ids: Sequence[int], rows: int, tokenizer: PreTrainedTokenizerBase, place: str = "") -> None:
    """Every id that a model is given has a row in its embedding, which has `rows`.

    Raises CheckpointError that names the first token without one, and `place`, where the text is from.
    """
    if ids and not 0 <= min(ids) <= max(ids) < rows:
        beyond = next(index for index in ids if not 0 <= index < rows)
        text = tokenizer.convert_ids_to_tokens(beyond)
        raise CheckpointError(
            f"{place}{': ' if place else ''}token {beyond} ({text!r}) has no row in an embedding of {rows}, "
            f"and the tokenizer has {len(tokenizer)} tokens; use the tokenizer that belongs to the model, or "
            "text without that token"
        )
