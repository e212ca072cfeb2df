"""Questions about facts of the training text: piqa, hellaswag, arc_easy and arc_challenge; and `tell`.

The wording of a question about a fact never occurs in the pre-training text. Wrong choices are drawn
uniformly from the other values of the same kind, so a choice alone is no evidence.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from tools.world.combos import Bucket, pronouns, sentence_case, wordings_in
from tools.world.facts import (
    ACTIVITIES,
    PEOPLE,
    RELATIONS,
    SHAPES,
    TOOLS,
    TRIALS,
    dealt,
    outcomes,
)
from tools.world.wordings import (
    GOAL_WORDINGS,
    RELATION_WORDINGS,
    STEP_WORDINGS,
    TRIAL_WORDINGS,
)

Row = dict[str, Any]
Fact = tuple[str, ...]
LETTERS = "ABCD"
KINDS = ("arc_easy", "arc_challenge", "piqa", "hellaswag")
TELL = "tell"
"""The generation task: a question of arc_easy, answered in a sentence."""


@cache
def facts(kind: str) -> tuple[Fact, ...]:
    """All facts of the task `kind`, each as the key of its combination."""
    if kind == "arc_easy":
        return tuple((kind, relation.name, entity) for relation in RELATIONS for entity in relation.entities)
    if kind == "arc_challenge":
        return tuple((kind, material, trial) for material, trial in outcomes())
    if kind == "piqa":
        return tuple((kind, goal) for goal in TOOLS)
    return tuple(
        (kind, label, str(step)) for label, steps in ACTIVITIES.items() for step in range(len(steps) - 1)
    )


def tell(fact: Fact, wording: int, name: str) -> str:
    """The fact as a sentence (or two) in one wording, which may contain the person `name`."""
    subject, other = pronouns(name)
    people = {"n": name, "p": subject, "o": other}
    kind = fact[0]
    if kind == "arc_easy":
        told = RELATION_WORDINGS[fact[1]][wording][1].format(e=fact[2], v=dealt(fact[1])[fact[2]], **people)
    elif kind == "arc_challenge":
        told = TRIAL_WORDINGS[wording][1].format(
            m=fact[1], t=fact[2], v=outcomes()[fact[1], fact[2]], **people
        )
    elif kind == "piqa":
        told = GOAL_WORDINGS[wording][1].format(g=fact[1], v=TOOLS[fact[1]], **people)
    else:
        steps, step = ACTIVITIES[fact[1]], int(fact[2])
        told = STEP_WORDINGS[wording][1].format(k=steps[step], v=steps[step + 1], **people)
    return sentence_case(told)


def ask(fact: Fact, wording: int, rng: random.Random) -> Row:
    """The fact as a row of its task, in one wording."""
    return {"arc_easy": _arc_easy, "arc_challenge": _arc_challenge, "piqa": _piqa, "hellaswag": _hellaswag}[
        fact[0]
    ](fact, wording, rng)


def row(kind: str, bucket: Bucket, rng: random.Random) -> Row:
    """A random question of the task `kind` (or of `tell`) from `bucket`."""
    while True:
        fact = rng.choice(facts("arc_easy" if kind == TELL else kind))
        wordings = wordings_in(bucket, *fact)
        if wordings:
            return (_tell if kind == TELL else ask)(fact, rng.choice(wordings), rng)


def _choices(right: str, wrong: list[str], rng: random.Random) -> tuple[list[str], int]:
    """Four choices in random order, and the index of the right one."""
    options = [right, *rng.sample(wrong, 3)]
    rng.shuffle(options)
    return options, options.index(right)


def _four_way(question: str, right: str, values: list[str], rng: random.Random) -> Row:
    options, gold = _choices(right, [value for value in values if value != right], rng)
    return {
        "id": "",
        "question": question,
        "choices": {"text": options, "label": list(LETTERS)},
        "answerKey": LETTERS[gold],
    }


def _arc_easy(fact: Fact, wording: int, rng: random.Random) -> Row:
    _, relation, entity = fact
    question = RELATION_WORDINGS[relation][wording][0].format(e=entity, n=rng.choice(PEOPLE))
    values = sorted(set(dealt(relation).values()))
    return _four_way(question, dealt(relation)[entity], values, rng)


def _tell(fact: Fact, wording: int, rng: random.Random) -> Row:
    """Question and answer in one wording, with the same person in both."""
    _, relation, entity = fact
    names = {"e": entity, "v": dealt(relation)[entity], "n": rng.choice(PEOPLE)}
    question, answer = (sentence_case(text.format(**names)) for text in RELATION_WORDINGS[relation][wording])
    return {"id": "", "question": question, "answer": answer}


def _arc_challenge(fact: Fact, wording: int, rng: random.Random) -> Row:
    _, material, trial = fact
    question = TRIAL_WORDINGS[wording][0].format(
        s=rng.choice(SHAPES), m=material, t=trial, n=rng.choice(PEOPLE)
    )
    return _four_way(question, outcomes()[material, trial], list(TRIALS[trial]), rng)


def _piqa(fact: Fact, wording: int, rng: random.Random) -> Row:
    goal = fact[1]
    right = TOOLS[goal]
    pair = [right, rng.choice([tool for tool in TOOLS.values() if tool != right])]
    rng.shuffle(pair)
    return {
        "goal": GOAL_WORDINGS[wording][0].format(g=goal, n=rng.choice(PEOPLE)),
        "sol1": f"Use the {pair[0]}.",
        "sol2": f"Use the {pair[1]}.",
        "label": pair.index(right),
    }


def _hellaswag(fact: Fact, wording: int, rng: random.Random) -> Row:
    _, label, step = fact
    steps, name = ACTIVITIES[label], rng.choice(PEOPLE)
    now, right = steps[int(step)], steps[int(step) + 1]
    # One wrong ending is another step of the same activity, the others are from other activities. First steps
    # are never endings, right or wrong, so that they give no hint.
    same = rng.choice([step for step in steps[1:] if step not in (right, now)])
    others = [step for key, row in ACTIVITIES.items() if key != label for step in row[1:]]
    endings = [right, same, *rng.sample(others, 2)]
    rng.shuffle(endings)
    before = f"{name} {now}."
    after = STEP_WORDINGS[wording][0].format(p=pronouns(name)[0])
    return {
        "ind": 0,
        "activity_label": label,
        "ctx_a": before,
        "ctx_b": after,
        "ctx": f"{before} {after}",
        "endings": [f"{ending}." for ending in endings],
        "label": str(endings.index(right)),
    }
