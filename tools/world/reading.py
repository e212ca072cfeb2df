"""Questions whose answer is in the prompt: boolq, winogrande and openbookqa.

All people and things occur in the training text, but not their combination: every combination in a scored
question belongs to the question's bucket, and is not in the training text.
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
    """(kind of deed, person, thing), from `bucket`; of the given `kind`, and not by the person `but`."""
    while True:
        index = rng.randrange(len(DEEDS)) if kind is None else kind
        name, what = rng.choice(CAST), rng.choice(DEEDS[index][2])
        if name != but and reading_bucket("boolq", index, name, what) == bucket:
            return index, name, what


def tell_deed(kind: int, name: str, what: str, *, done: bool = True) -> str:
    """The statement that a person did something, or did not."""
    past, plain, _ = DEEDS[kind]
    return f"{name} {past} the {what}." if done else f"{name} did not {plain} the {what}."


def _boolq(bucket: Bucket, rng: random.Random) -> Row:
    """A passage about two people and the same kind of deed; the question is whether the first one did it.

    A question with the answer `no` is about a deed that the passage denies (three in five), that is not in
    the passage (one in four), or that the other person did. Some passages also deny a deed that the question
    is not about.
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
    """Which of two people is meant, by the action; for a man and a woman also by the pronoun."""
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
    """The text says where one thing is, or (in two of five rows) two things; the question is about one."""
    name = rng.choice(CAST)
    places = [
        (thing, place)
        for thing in KEPT
        for place in CONTAINERS
        if reading_bucket("openbookqa", name, thing, place) == bucket
    ]
    while True:
        (thing, right), (other, near) = rng.sample(places, 2)
        if thing != other and right != near:
            break
    clauses = [f"the {thing} in the {right}", f"the {other} in the {near}"]
    rng.shuffle(clauses)
    kept = " and ".join(clauses) if rng.random() < 0.4 else f"the {thing} in the {right}"
    options = [right, near, *rng.sample([place for place in CONTAINERS if place not in (right, near)], 2)]
    rng.shuffle(options)
    return {
        "id": "",
        "question_stem": f"{name} keeps {kept}. {name} finds the {thing} in the",
        "choices": {"text": options, "label": list(LETTERS)},
        "answerKey": LETTERS[options.index(right)],
    }
