"""The order of training: which shots, texts and windows of general text make up each step."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tailored_llama.training.batches import Batch, Material, Shot, micro_batches

# Number of steps whose shots are sorted by length together. With 1 there is much padding; with many, the
# steps would be the same in every epoch.
POOL = 4


def epochs(
    material: Material, batch_size: int, count: int, seed: int, *, share: float = 0.0, branching: bool = False
) -> Iterator[list[list[Batch]]]:
    """Yield for each of `count` epochs its steps, as lists of micro-batches. Every epoch contains every shot
    and every text once, in a new seeded order; its last step may be smaller. `share` of a step's sequences
    are windows of `replay`, drawn in rotation.
    """
    generator = random.Random(seed)
    replayed = _endless(material.replay, generator)
    rounds = [material.shots, *material.rounds]
    for number in range(count):
        steps = _steps(rounds[number % len(rounds)], batch_size, generator)
        texts = list(material.texts)
        generator.shuffle(texts)
        bounds = [round(i * len(texts) / len(steps)) for i in range(len(steps) + 1)]
        yield [
            micro_batches(step, branching=branching)
            + micro_batches(texts[start:end], "texts")
            + micro_batches([next(replayed) for _ in range(_replay_count(len(step), share))], "replay")
            for step, (start, end) in zip(steps, pairwise(bounds), strict=True)
        ]


def _replay_count(shots: int, share: float) -> int:
    """Number of windows that make up `share` of a step with this number of shots."""
    return max(1, round(shots * share / (1 - share))) if share else 0


def _endless(pool: Sequence[Shot], generator: random.Random) -> Iterator[Shot]:
    while pool:
        order = list(pool)
        generator.shuffle(order)
        yield from order


def _length(shot: Shot) -> int:
    return max(len(choice.ids) for choice in shot.choices)


def _steps(shots: Sequence[Shot], batch_size: int, generator: random.Random) -> list[list[Shot]]:
    order = list(shots)
    generator.shuffle(order)
    steps = []
    for start in range(0, len(order), POOL * batch_size):
        pool = sorted(order[start : start + POOL * batch_size], key=_length)
        steps += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    generator.shuffle(steps)
    return steps
