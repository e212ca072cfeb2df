"""Questions whose answer stands in the prompt: boolq, winogrande and openbookqa.

All people and things are known, their combination is not: every pair that a scored question joins belongs to
the question's own bucket, so nothing of it was ever read.
"""

from __future__ import annotations

import random
from typing import Any

from tools.world.combos import Bucket, pronouns, reading_bucket
from tools.world.facts import CAST, CONTAINERS, DEEDS, KEPT, SCENES

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
        name, what = rng.choice(CAST), rng.choice(DEEDS[index][2])
        if name != but and reading_bucket("boolq", index, name, what) == bucket:
            return index, name, what


def tell_deed(kind: int, name: str, what: str, *, done: bool = True) -> str:
    """That somebody did something, or did not."""
    past, plain, _ = DEEDS[kind]
    return f"{name} {past} the {what}." if done else f"{name} did not {plain} the {what}."


def _boolq(bucket: Bucket, rng: random.Random) -> Row:
    """Two people did, or did not do, the same kind of thing; did the first one do it?

    A `no` asks for what the passage denies (three in five), for what nobody is said to have done (one in
    four), or for what the other one did. In some passages something is denied that is not asked for.
    """
    label, why = rng.randrange(2), rng.random()
    denied, swapped = not label and why < 0.6, not label and why >= 0.85
    while True:
        kind, first, what = deed(bucket, rng)
        _, second, other = deed(bucket, rng, kind=kind, but=first)
        about = what if label or denied else other if swapped else rng.choice(DEEDS[kind][2])
        clear = other != what and (label or denied or about != what) and (swapped or about != other)
        if clear and reading_bucket("boolq", kind, first, about) == bucket:
            break
    sentences = [
        tell_deed(kind, first, what, done=not denied),
        tell_deed(kind, second, other, done=denied or rng.random() < 0.85),
    ]
    rng.shuffle(sentences)
    question = f"did {first} {DEEDS[kind][1]} the {about}"
    return {"question": question, "passage": " ".join(sentences), "idx": 0, "label": label}


def _winogrande(bucket: Bucket, rng: random.Random) -> Row:
    """Who of the two is meant, by what was done; of a man and a woman the pronoun tells it, too."""
    while True:
        scene = rng.randrange(len(SCENES))
        first, second = rng.sample(CAST, 2)
        if reading_bucket("winogrande", scene, first, second) == bucket:
            break
    opening, *endings = SCENES[scene]
    meant = rng.randrange(2)
    says = pronouns((first, second)[meant])[0]
    options = [first, second]
    rng.shuffle(options)
    return {
        "sentence": f"{opening.format(a=first, b=second)} _ {endings[meant]}, {says} said.",
        "option1": options[0],
        "option2": options[1],
        "answer": str(options.index((first, second)[meant]) + 1),
    }


def _openbookqa(bucket: Bucket, rng: random.Random) -> Row:
    """The book says where a thing is, in two of five rows where two things are; the question asks for one."""
    name = rng.choice(CAST)
    places = [
        (thing, place)
        for thing in KEPT
        for place in CONTAINERS
        if reading_bucket("openbookqa", name, thing, place) == bucket
    ]
    while True:
        (asked, right), (other, near) = rng.sample(places, 2)
        if asked != other and right != near:
            break
    clauses = [f"the {asked} in the {right}", f"the {other} in the {near}"]
    rng.shuffle(clauses)
    told = " and ".join(clauses) if rng.random() < 0.4 else f"the {asked} in the {right}"
    options = [right, near, *rng.sample([place for place in CONTAINERS if place not in (right, near)], 2)]
    rng.shuffle(options)
    return {
        "id": "",
        "question_stem": f"{name} keeps {told}. {name} finds the {asked} in the",
        "choices": {"text": options, "label": list(LETTERS)},
        "answerKey": LETTERS[options.index(right)],
    }
