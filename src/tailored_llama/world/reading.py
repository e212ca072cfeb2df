"""Questions whose answer stands in the prompt: boolq, winogrande and openbookqa.

All people and things are known, their combination is not: every pair that a scored question joins belongs to
the question's own bucket, so nothing of it was ever read.
"""

from __future__ import annotations

import random
from typing import Any

from tailored_llama.world.combos import Bucket, reading_bucket
from tailored_llama.world.facts import CONTAINERS, DEEDS, PEOPLE, SCENES, THINGS

Row = dict[str, Any]
KINDS = ("boolq", "winogrande", "openbookqa")
LETTERS = "ABCD"


def row(kind: str, bucket: Bucket, rng: random.Random) -> Row:
    """A random question of the task `kind` from `bucket`."""
    return {"boolq": _boolq, "winogrande": _winogrande, "openbookqa": _openbookqa}[kind](bucket, rng)


def deed(
    bucket: Bucket, rng: random.Random, *, kind: int | None = None, but: str = ""
) -> tuple[int, str, str]:
    """(kind of deed, who, what), from `bucket`; of the given kind, and not by `but`."""
    while True:
        index = rng.randrange(len(DEEDS)) if kind is None else kind
        name, what = rng.choice(PEOPLE), rng.choice(DEEDS[index][2])
        if name != but and reading_bucket("boolq", index, name, what) == bucket:
            return index, name, what


def _boolq(bucket: Bucket, rng: random.Random) -> Row:
    """Two people do the same kind of thing. A `no` asks for what nobody did, or (one in three) the other."""
    label, swapped = rng.randrange(2), rng.randrange(3) == 0
    while True:
        kind, first, done = deed(bucket, rng)
        _, second, other = deed(bucket, rng, kind=kind, but=first)
        told, asked, things = DEEDS[kind]
        about = done if label else other if swapped else rng.choice(things)
        clear = other != done and (label or about != done) and (label or swapped or about != other)
        if clear and reading_bucket("boolq", kind, first, about) == bucket:
            break
    sentences = [told.format(n=first, x=done), told.format(n=second, x=other)]
    rng.shuffle(sentences)
    return {
        "question": asked.format(n=first, x=about),
        "passage": " ".join(sentences),
        "idx": 0,
        "label": label,
    }


def _winogrande(bucket: Bucket, rng: random.Random) -> Row:
    while True:
        scene = rng.randrange(len(SCENES))
        first, second = rng.sample(PEOPLE, 2)
        if reading_bucket("winogrande", scene, first, second) == bucket:
            break
    opening, *endings = SCENES[scene]
    meant = rng.randrange(2)
    options = [first, second]
    rng.shuffle(options)
    return {
        "sentence": f"{opening.format(a=first, b=second)} _ {endings[meant]}",
        "option1": options[0],
        "option2": options[1],
        "answer": str(options.index((first, second)[meant]) + 1),
    }


def _openbookqa(bucket: Bucket, rng: random.Random) -> Row:
    """The book says where two things are; the question asks for one of them."""
    name = rng.choice(PEOPLE)
    places = [
        (thing, place)
        for thing in THINGS
        for place in CONTAINERS
        if reading_bucket("openbookqa", name, thing, place) == bucket
    ]
    while True:
        (asked, right), (other, near) = rng.sample(places, 2)
        if asked != other and right != near:
            break
    clauses = [f"the {asked} in the {right}", f"the {other} in the {near}"]
    rng.shuffle(clauses)
    options = [right, near, *rng.sample([place for place in CONTAINERS if place not in (right, near)], 2)]
    rng.shuffle(options)
    return {
        "id": "",
        "question_stem": f"{name} keeps {clauses[0]} and {clauses[1]}. {name} finds the {asked} in the",
        "choices": {"text": options, "label": list(LETTERS)},
        "answerKey": LETTERS[options.index(right)],
    }
