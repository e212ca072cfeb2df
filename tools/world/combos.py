"""Assigns every combination to a bucket: the pre-training pages or one of the scored splits.

A *recall* combination is (fact, wording): of a fact's six wordings four are `pages`, two are scored. A
*reading* combination is a set of names and things: half are `pages`. Combinations in `pages` may occur in the
pre-training text; those in `train`, `validation` or `test` never do, in any form.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import Literal

from tools.world.facts import SEED
from tools.world.wordings import WORDINGS

Bucket = Literal["pages", "train", "validation", "test"]
BUCKETS: tuple[Bucket, ...] = ("pages", "train", "validation", "test")
READING_SHARES = (0.5, 0.15, 0.15, 0.2)


def fraction(*key: object) -> float:
    """A hash of `key` in [0, 1), equal on every machine and Python version."""
    digest = hashlib.sha256("\x1f".join(map(str, (SEED, *key))).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@cache
def reading_bucket(*key: object) -> Bucket:
    """The bucket of a combination of names and things."""
    point = fraction("reading", *key)
    for bucket, share in zip(BUCKETS, READING_SHARES, strict=True):
        point -= share
        if point < 0:
            return bucket
    return "test"


@cache
def recall_buckets(*fact: object) -> tuple[Bucket, ...]:
    """The bucket of each of a fact's wordings: four `pages`, one `test`, one `validation` or `train`."""
    order = list(range(WORDINGS))
    random.Random(f"{SEED} wordings {fact}").shuffle(order)
    other: Bucket = "validation" if fraction("held", *fact) < 0.5 else "train"
    buckets: list[Bucket] = ["pages"] * WORDINGS
    buckets[order[0]], buckets[order[1]] = "test", other
    return tuple(buckets)


@cache
def wordings_in(bucket: Bucket, *fact: object) -> tuple[int, ...]:
    """Indices of the fact's wordings that belong to `bucket`, ascending."""
    return tuple(index for index, name in enumerate(recall_buckets(*fact)) if name == bucket)


def sentence_case(text: str) -> str:
    """`text` with an upper-case first letter."""
    return text[:1].upper() + text[1:]


def pronouns(name: str) -> tuple[str, str]:
    """(he or she, him or her)."""
    from tools.world.facts import WOMEN

    return ("she", "her") if name in WOMEN else ("he", "him")
