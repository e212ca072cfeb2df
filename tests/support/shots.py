"""Shots of random tokens for `fresh` models."""

from __future__ import annotations

import random
from dataclasses import replace

from transformers import PreTrainedModel

from tailored_llama.scoring import Request
from tailored_llama.training import teacher
from tailored_llama.training.batches import Shot

VOCAB = 64


def only(ids: tuple[int, ...], answer: tuple[int, ...]) -> Shot:
    return Shot((Request(0, 0, ids, answer, cut=False),))


def shots_of(lengths: list[int], seed: int = 0) -> list[Shot]:
    draw = random.Random(seed)
    tokens = [[draw.randrange(VOCAB) for _ in range(length + 1)] for length in lengths]
    return [
        only(tuple(ids[:-1]), tuple(ids[-1 - row % min(2, len(ids) - 1) :])) for row, ids in enumerate(tokens)
    ]


def with_teacher(requested: list[Shot], taught: PreTrainedModel, top_k: int = VOCAB) -> list[Shot]:
    found = teacher.distributions(taught, requested, top_k, "fp32")
    return [replace(shot, teacher=own) for shot, own in zip(requested, found, strict=True)]
