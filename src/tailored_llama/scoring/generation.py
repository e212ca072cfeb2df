"""Greedy generation of answers in padded batches, with a key-value cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tailored_llama.data import Example, Generation
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import DataError
from tailored_llama.progress import track
from tailored_llama.scoring.finite import FiniteLogits
from tailored_llama.scoring.forward import BATCH_TOKENS
from tailored_llama.scoring.requests import context_length, embedding_rows, encode_context

Ids = list[int]


@dataclass(frozen=True)
class Written:
    """One generated answer without its end token or stop text; whether it ended; whether the context was
    truncated.
    """

    text: str
    ended: bool
    cut: bool


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    settings: Generation,
    *,
    batch_size: int | None = None,
    max_length: int | None = None,
    description: str = "writing",
) -> list[Written]:
    """Generate greedily after every example's context, in order.

    An answer ends at the end-of-sequence token, before a text of `settings.stop`, or without an end after
    `settings.max_new_tokens`. Contexts that leave no room for these, or are longer than `max_length`, are
    truncated on the left. `batch_size` questions form a batch; None chooses the size automatically. The
    model's own generation settings (temperature, repetition penalty) are ignored. Raises DataError if there
    is no room, CheckpointError for a token outside the model's vocabulary, NotFiniteError if logits are not
    finite.
    """
    room = context_length(model) - settings.max_new_tokens
    if room < 1:
        raise DataError(
            f"a model with context {context_length(model)} cannot generate {settings.max_new_tokens} tokens "
            "after a question; lower generation.max_new_tokens in the task file"
        )
    room = min(room, max_length or room)
    encoder, embedded = Encoder(tokenizer), embedding_rows(model)
    encoded = [encode_context(encoder, example.context) for example in examples]
    for ids, example in zip(encoded, examples, strict=True):
        check_ids(ids[-room:], embedded, tokenizer, example.place or f"row {example.row}")
    answers: dict[int, Written] = {}
    # Longest first: questions of similar length share a batch, and memory problems show at once.
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]))
    batches = list(_batches(order, [min(len(ids), room) for ids in encoded], settings, batch_size))
    ends = text_ends(model, tokenizer)
    with torch.inference_mode(), without_generation_config(model):
        for indices in track(batches, description):
            names = [f"{description}, row {examples[index].row + 1}" for index in indices]
            contexts = [encoded[index][-room:] for index in indices]
            rows = _continue(model, tokenizer, contexts, settings, ends, names)
            for index, ids in zip(indices, rows, strict=True):
                text, ended = _read(tokenizer, ids, settings.stop, ends)
                answers[index] = Written(text, ended, len(encoded[index]) > room)
    return [answers[index] for index in range(len(examples))]


def _batches(
    order: Sequence[int], lengths: Sequence[int], settings: Generation, batch_size: int | None
) -> Iterator[list[int]]:
    start = 0
    while start < len(order):
        width = lengths[order[start]] + settings.max_new_tokens
        size = batch_size or max(1, BATCH_TOKENS // width)
        yield list(order[start : start + size])
        start += size


def _continue(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Ids],
    settings: Generation,
    ends: list[int],
    names: Sequence[str],
) -> list[Ids]:
    """The new tokens of each row, padded with an end token. `names` describes the rows in messages."""
    width, pad = max(map(len, rows)), padding_id(model, ends)
    # Padding is on the left, so that all rows continue at the same position; it is masked.
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    config = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=settings.max_new_tokens, use_cache=True,
        pad_token_id=pad, eos_token_id=ends or None,
    )  # fmt: skip
    output = model.generate(
        ids, attention_mask=mask, generation_config=config,
        stopping_criteria=StoppingCriteriaList([_Stops(tokenizer, settings.stop, width)]),
        logits_processor=LogitsProcessorList([FiniteLogits(model, names.__getitem__)]),
    )  # fmt: skip
    new: list[Ids] = output[:, width:].tolist()
    return new


class _Stops(StoppingCriteria):  # type: ignore[misc]
    """Stops when the generated text contains a stop text.

    The search is in the text, because the same text can have many tokenizations.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def _read(
    tokenizer: PreTrainedTokenizerBase, ids: Ids, stops: Sequence[str], ends: Sequence[int]
) -> tuple[str, bool]:
    """(the answer, whether it ended)."""
    last = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    text = str(tokenizer.decode(ids[:last], skip_special_tokens=True))
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places, default=len(text))].strip(), bool(places) or last < len(ids)


def text_ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """End-of-sequence tokens of the tokenizer and of the model's config."""
    named = getattr(model.generation_config, "eos_token_id", None)
    config_ids = named if isinstance(named, list) else [named]
    return [int(token) for token in dict.fromkeys([tokenizer.eos_token_id, *config_ids]) if token is not None]


def padding_id(model: PreTrainedModel, ends: Sequence[int]) -> int:
    """A token for padding: the first of `ends` that is in the model's embedding."""
    return next((token for token in ends if 0 <= token < embedding_rows(model)), 0)


@contextmanager
def without_generation_config(model: PreTrainedModel) -> Iterator[None]:
    """Inside the block, ignore the penalties and cut-offs of the model's generation_config.json; `generate`
    would use them as defaults.
    """
    saved, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = saved
