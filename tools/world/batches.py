"""Converts documents to batches of tokens and weights, grouped by length to reduce padding."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tools.world.facts import SEED
from tools.world.pages import Document

ANSWER_WEIGHT = 8.0
"""Loss weight of answer tokens, which are only one token in twenty-five."""


@dataclass(frozen=True)
class Batch:
    """tokens [rows, length] and their weights [rows, length] as targets; the weight of padding is 0."""

    tokens: Tensor
    weights: Tensor
    count: int


def encode(documents: Sequence[Document], tokenizer: Any) -> list[tuple[list[int], list[float]]]:
    """(token ids, weights) of every document, with the end token appended."""
    contexts = tokenizer([d.text for d in documents], add_special_tokens=False)["input_ids"]
    answers = tokenizer([d.answer for d in documents], add_special_tokens=False)["input_ids"]
    return [
        (
            [*context, *answer, tokenizer.eos_token_id],
            [1.0] * len(context) + [ANSWER_WEIGHT] * len(answer) + [1.0],
        )
        for context, answer in zip(contexts, answers, strict=True)
    ]


def batches(documents: Sequence[Document], tokenizer: Any, *, chunk: int, batch_tokens: int) -> list[Batch]:
    """The chunk's batches of about `batch_tokens` tokens each, in random order seeded by the chunk.

    Every document starts at position 0, like a scored question; documents of similar length share a batch.
    """
    rng = random.Random(f"{SEED} batches {chunk}")
    encoded = encode(documents, tokenizer)
    rng.shuffle(encoded)
    encoded.sort(key=lambda pair: -(-len(pair[0]) // 6))
    groups: list[list[tuple[list[int], list[float]]]] = [[]]
    longest = 0
    for pair in encoded:
        longest = max(longest, len(pair[0]))
        if longest * (len(groups[-1]) + 1) > batch_tokens:
            groups.append([])
            longest = len(pair[0])
        groups[-1].append(pair)
    rng.shuffle(groups)
    return [_pad(group, tokenizer.pad_token_id) for group in groups if group]


def _pad(group: list[tuple[list[int], list[float]]], pad: int) -> Batch:
    length = max(len(tokens) for tokens, _ in group)
    tokens = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in group])
    weights = torch.tensor([w + [0.0] * (length - len(w)) for _, w in group])
    return Batch(tokens, weights, sum(len(ids) for ids, _ in group))
