"""Questions as token ids, tokenised and cut as lm_eval's HFLM does (version 0.4.13)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example
from tailored_llama.errors import DataError


@dataclass(frozen=True)
class Request:
    """One choice as the model sees it: what it reads, and the answer it should predict at the end."""

    question: int
    choice: int
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    cut: bool


def encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of `context` and of `answer` after it.

    White space at the end of the context belongs to the answer. The answer's ids are those that the whole
    text has beyond the length of the context alone, so that a tokenizer that merges across the boundary is
    met as in use; where it merges all of the answer, nothing is left. A beginning-of-sequence token is
    added if the tokenizer does so by itself and the text has none. An empty context is the
    beginning-of-sequence (else end-of-sequence) token.
    """
    if not context.strip():
        start = _prefix_token(tokenizer)
        ids = list(tokenizer.encode(context + answer, add_special_tokens=False))
        return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])
    before = _encode(tokenizer, context.rstrip())
    return before, _encode(tokenizer, context + answer)[len(before) :]


def encode_context(tokenizer: PreTrainedTokenizerBase, context: str) -> list[int]:
    """Token ids of a context after which the model writes.

    Spaces at its end belong to what is written, as most tokenizers put a space before its word; a line break
    at the end stays, since the layout of a prompt is not the answer's.
    """
    return _encode(tokenizer, context.rstrip(" ")) or [_prefix_token(tokenizer)]


def encode_written(
    tokenizer: PreTrainedTokenizerBase, context: str, answer: str
) -> tuple[list[int], list[int]]:
    """Token ids of `context` as a writer reads it, and of `answer` after it with the end-of-sequence token:
    where to end is part of what is learnt. Nothing but the end is left of an answer that was merged away.
    """
    before = encode_context(tokenizer, context)
    after = _encode(tokenizer, context + answer)[len(before) :]
    end = tokenizer.eos_token_id
    return before, after if end is None else [*after, int(end)]


def context_length(model: PreTrainedModel) -> int:
    """Tokens that fit into the model."""
    return int(model.config.max_position_embeddings)


def requests(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int
) -> Iterator[Request]:
    """Every choice of every example, tokenised and cut on the left to `max_length` tokens.

    Raises DataError naming the row where an answer alone is longer, or has no token of its own.
    """
    for question, example in enumerate(examples):
        for choice, pair in enumerate(zip(example.contexts, example.answers, strict=True)):
            encode = encode_written if example.references else encode_pair
            context, answer = encode(tokenizer, *pair)
            if not 0 < len(answer) <= max_length:
                raise DataError(
                    f"row {example.row}: choice {choice} has {len(answer)} tokens, but a model of context "
                    f"{max_length} can score 1 to {max_length}; leave the row out"
                )
            # One token more than fits, because the last one is predicted and never read.
            ids = (context + answer)[-(max_length + 1) :]
            cut = len(context) + len(answer) > max_length + 1
            yield Request(question, choice, tuple(ids[:-1]), tuple(answer), cut)


def _prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise DataError(
            "the tokenizer has neither a beginning- nor an end-of-sequence token, so an empty context "
            "cannot be scored; use a prompt that begins with text"
        )
    return int(token)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    token = tokenizer.bos_token if tokenizer.bos_token is not None else tokenizer.eos_token
    doubled = token is not None and text.startswith(token)
    # A text longer than the context is cut and counted here; the tokenizer need not warn about it.
    return list(tokenizer.encode(text, add_special_tokens=not doubled, verbose=False))
