"""Questions as token ids, tokenised and cut as lm_eval's HFLM does (version 0.4.13)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, Task
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import DataError

Ids = list[int]


@dataclass(frozen=True)
class Request:
    """One choice as the model sees it: what it reads, and the answer it should predict at the end."""

    question: int
    choice: int
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    cut: bool


def encode_pair(tokenizer: PreTrainedTokenizerBase | Encoder, context: str, answer: str) -> tuple[Ids, Ids]:
    """Token ids of `context` and of `answer` after it.

    White space at the end of the context belongs to the answer. The answer's ids are those that the whole
    text has beyond the length of the context alone, so that a tokenizer that merges across the boundary is
    met as in use; where it merges all of the answer, nothing is left. What the tokenizer puts before a text
    stands before the context, what it puts behind one is dropped (see Encoder). An empty context is the
    beginning-of-sequence (else end-of-sequence) token.
    """
    encode = _encoder(tokenizer)
    if not context.strip():
        start, ids = encode.start, encode.bare(context + answer)
        return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])
    # A context of characters that the tokenizer does not know has no tokens either.
    before = encode(context.rstrip())
    return before or [encode.start], encode(context + answer)[len(before) :]


def encode_context(tokenizer: PreTrainedTokenizerBase | Encoder, context: str) -> Ids:
    """Token ids of a context after which the model writes.

    Spaces at its end belong to what is written, as most tokenizers put a space before its word; a line break
    at the end stays, since the layout of a prompt is not the answer's.
    """
    encode = _encoder(tokenizer)
    return encode(context.rstrip(" ")) or [encode.start]


def encode_written(
    tokenizer: PreTrainedTokenizerBase | Encoder, context: str, answer: str
) -> tuple[Ids, Ids]:
    """Token ids of `context` as a writer reads it, and of `answer` after it with the end-of-sequence token:
    where to end is part of what is learnt. Nothing but the end is left of an answer that was merged away.
    """
    encode = _encoder(tokenizer)
    # Of an empty context the tokenizer may make nothing, and then the whole text is the answer's.
    own = encode(context.rstrip(" "))
    after = encode(context + answer)[len(own) :]
    end = encode.tokenizer.eos_token_id
    return own or [encode.start], after if end is None else [*after, int(end)]


def context_length(model: PreTrainedModel | PreTrainedConfig) -> int:
    """Tokens that fit into the model."""
    config = model if isinstance(model, PreTrainedConfig) else model.config
    return int(config.max_position_embeddings)


def embedding_rows(model: PreTrainedModel | PreTrainedConfig) -> int:
    """Token ids that the model has."""
    config = model if isinstance(model, PreTrainedConfig) else model.config
    return int(config.vocab_size)


def example_length(task: Task, model: PreTrainedModel | PreTrainedConfig, shots: int = 0) -> int:
    """Tokens of an example of `task` that `model` reads at most: what fits into the model, and no more than
    the task's `max_length` for the question and as much for each of the `shots` before it.
    """
    return min(context_length(model), task.max_length * (shots + 1))


def requests(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int,
    rows: int | None = None,
) -> Iterator[Request]:
    """Every choice of every example, tokenised and cut on the left to `max_length` tokens.

    `rows` is the number of rows of the model's embedding. Raises DataError naming the row where an answer
    alone is longer, or has no token of its own, CheckpointError where a token has no row in the embedding.
    """
    encoder = Encoder(tokenizer)
    for question, example in enumerate(examples):
        where = example.place or f"row {example.row}"
        for choice, pair in enumerate(zip(example.contexts, example.answers, strict=True)):
            encode = encode_written if example.references else encode_pair
            context, answer = encode(encoder, *pair)
            check_answer(answer, max_length, f"{where}: choice {choice}")
            # One token more than fits, because the last one is predicted and never read.
            ids = (context + answer)[-(max_length + 1) :]
            cut = len(context) + len(answer) > max_length + 1
            if rows is not None:
                check_ids(ids, rows, tokenizer, where)
            yield Request(question, choice, tuple(ids[:-1]), tuple(answer), cut)


def check_answer(answer: Sequence[int], max_length: int, place: str) -> None:
    """DataError for an answer without tokens, or with more than `max_length`."""
    if not 0 < len(answer) <= max_length:
        raise DataError(
            f"{place} has {len(answer)} tokens, but 1 to {max_length} can be scored (what the model's "
            "context and the task's max_length allow); leave the row out"
        )


def _encoder(tokenizer: PreTrainedTokenizerBase | Encoder) -> Encoder:
    return tokenizer if isinstance(tokenizer, Encoder) else Encoder(tokenizer)
