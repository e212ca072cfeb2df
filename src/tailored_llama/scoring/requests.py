"""Questions as token ids, tokenised and truncated as in lm_eval's HFLM (version 0.4.13)."""

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
    """One encoded choice: the input ids, and the answer ids that are predicted at its end."""

    question: int
    choice: int
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    cut: bool


def encode_pair(tokenizer: PreTrainedTokenizerBase | Encoder, context: str, answer: str) -> tuple[Ids, Ids]:
    """Token ids of `context` and of the following `answer`.

    Trailing white space of the context belongs to the answer. The answer's ids are the ids of the complete
    text beyond the length of the encoded context, as in normal use of a tokenizer that merges across the
    boundary; if it merges all of the answer, they are empty. Leading special tokens are before the context,
    trailing ones are dropped (see Encoder). An empty context becomes the beginning-of-sequence (else
    end-of-sequence) token.
    """
    encode = _encoder(tokenizer)
    if not context.strip():
        start, ids = encode.start, encode.bare(context + answer)
        return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])
    # A context of characters unknown to the tokenizer also has no tokens.
    context_ids = encode(context.rstrip())
    return context_ids or [encode.start], encode(context + answer)[len(context_ids) :]


def encode_context(tokenizer: PreTrainedTokenizerBase | Encoder, context: str) -> Ids:
    """Token ids of a context for generation.

    Trailing spaces are removed, because most tokenizers encode a space with the following word; a trailing
    line break is kept, because it is part of the prompt's layout.
    """
    encode = _encoder(tokenizer)
    return encode(context.rstrip(" ")) or [encode.start]


def encode_written(
    tokenizer: PreTrainedTokenizerBase | Encoder, context: str, answer: str
) -> tuple[Ids, Ids]:
    """Token ids of `context` for generation, and of the following `answer` with the end-of-sequence token, so
    that a model learns where to stop. If the tokenizer merges all of the answer, only the end token is left.
    """
    encode = _encoder(tokenizer)
    # An empty context may have no tokens; then all tokens belong to the answer.
    context_ids = encode(context.rstrip(" "))
    answer_ids = encode(context + answer)[len(context_ids) :]
    end = encode.tokenizer.eos_token_id
    return context_ids or [encode.start], answer_ids if end is None else [*answer_ids, int(end)]


def context_length(model: PreTrainedModel | PreTrainedConfig) -> int:
    """The context length of the model, in tokens."""
    config = model if isinstance(model, PreTrainedConfig) else model.config
    return int(config.max_position_embeddings)


def embedding_rows(model: PreTrainedModel | PreTrainedConfig) -> int:
    """Number of rows of the model's embedding."""
    config = model if isinstance(model, PreTrainedConfig) else model.config
    return int(config.vocab_size)


def example_length(task: Task, model: PreTrainedModel | PreTrainedConfig, shots: int = 0) -> int:
    """Maximum number of tokens of an example of `task`: the context length of `model`, limited to the task's
    `max_length` for the question and for each of the preceding `shots`.
    """
    return min(context_length(model), task.max_length * (shots + 1))


def requests(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int,
    rows: int | None = None,
) -> Iterator[Request]:
    """Every choice of every example, tokenised and truncated on the left to `max_length` tokens.

    `rows` is the number of rows of the model's embedding. Raises DataError, with the row, if an answer alone
    is longer or has no tokens, CheckpointError if a token has no row in the embedding.
    """
    encoder = Encoder(tokenizer)
    for question, example in enumerate(examples):
        where = example.place or f"row {example.row}"
        for choice, pair in enumerate(zip(example.contexts, example.answers, strict=True)):
            encode = encode_written if example.references else encode_pair
            context, answer = encode(encoder, *pair)
            check_answer(answer, max_length, f"{where}: choice {choice}")
            # One token more than the limit, because the last one is only predicted.
            ids = (context + answer)[-(max_length + 1) :]
            cut = len(context) + len(answer) > max_length + 1
            if rows is not None:
                check_ids(ids, rows, tokenizer, where)
            yield Request(question, choice, tuple(ids[:-1]), tuple(answer), cut)


def check_answer(answer: Sequence[int], max_length: int, place: str) -> None:
    """DataError for an answer without tokens, or with more than `max_length`."""
    if not 0 < len(answer) <= max_length:
        raise DataError(
            f"{place} has {len(answer)} tokens, but 1 to {max_length} can be scored (limited by the model's "
            "context and the task's max_length); remove the row"
        )


def _encoder(tokenizer: PreTrainedTokenizerBase | Encoder) -> Encoder:
    return tokenizer if isinstance(tokenizer, Encoder) else Encoder(tokenizer)
