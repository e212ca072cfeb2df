"""Narrative text: notes of facts, stories, retellings; only combinations of the bucket `pages` occur."""

from __future__ import annotations

import random
from collections.abc import Callable

from tools.world import reading, recall
from tools.world.combos import pronouns, sentence_case, wordings_in
from tools.world.facts import ACTIVITIES, PEOPLE, RELATIONS
from tools.world.wordings import STEP_WORDINGS

OPENINGS = (
    "It was a {w} morning.",
    "One {w} day {n} got up early.",
    "{n} looked out at the {w} sky.",
    "In the {w} season, {n} had much to do.",
)
WEATHER = ("cold", "warm", "bright", "wet", "long", "quiet", "grey", "windy")
CLOSINGS = (
    "Then the day was over.",
    "In the evening everybody went home.",
    "At last {n} fell asleep.",
    "That is all there is to say about {n}.",
)


def note(rng: random.Random) -> str:
    """Three or four facts of one kind, or about one entity, in wordings of the bucket `pages`."""
    kind = rng.choice(recall.KINDS)
    pool = list(recall.facts(kind))
    if kind != "piqa" and rng.random() < 0.5:
        subject = rng.choice(pool)
        place = 2 if kind == "arc_easy" else 1
        pool = [fact for fact in pool if fact[place] == subject[place]]
    chosen = rng.sample(pool, min(len(pool), rng.choice((3, 4))))
    return " ".join(_told(fact, rng) for fact in chosen)


def retelling(rng: random.Random) -> str:
    """Four sentences, and the same sentences in another order: training for copying from the context."""
    sentences = [rng.choice((_scene, _keeping, _deed, _deed))(rng) for _ in range(4)]
    again = rng.sample(sentences, len(sentences))
    return " ".join([*sentences, "Once more:", *again])


def story(rng: random.Random) -> str:
    """A day of one person: some deeds, an activity, a scene with another person, and facts."""
    name = rng.choice(PEOPLE)
    parts: list[Callable[[], str]] = [
        lambda: _activity(name, rng),
        lambda: _scene(rng),
        lambda: _keeping(rng),
        lambda: " ".join(_deed(rng) for _ in range(2)),
        lambda: _told(rng.choice(recall.facts("piqa")), rng),
        lambda: " ".join(_about(rng) for _ in range(2)),
    ]
    rng.shuffle(parts)
    opening = rng.choice(OPENINGS).format(n=name, w=rng.choice(WEATHER))
    closing = rng.choice(CLOSINGS).format(n=name)
    return " ".join([opening, *(part() for part in parts[:4]), closing])


def _told(fact: recall.Fact, rng: random.Random) -> str:
    return recall.tell(fact, rng.choice(wordings_in("pages", *fact)), rng.choice(PEOPLE))


def _about(rng: random.Random) -> str:
    relation = rng.choice(RELATIONS)
    return _told(("arc_easy", relation.name, rng.choice(relation.entities)), rng)


def _activity(name: str, rng: random.Random) -> str:
    """Consecutive steps of an activity, joined by wordings of the bucket `pages`."""
    label = rng.choice(list(ACTIVITIES))
    steps = ACTIVITIES[label]
    start = rng.randrange(len(steps) - 2)
    sentences = [f"{name} {steps[start]}."]
    for step in range(start, min(start + 3, len(steps) - 1)):
        wording = rng.choice(wordings_in("pages", "hellaswag", label, str(step)))
        join = sentence_case(STEP_WORDINGS[wording][0].format(p=pronouns(name)[0]))
        sentences.append(f"{join} {steps[step + 1]}.")
    return " ".join(sentences)


def _scene(rng: random.Random) -> str:
    row = reading.row("winogrande", "pages", rng)
    meant: str = row["option" + row["answer"]]
    sentence: str = row["sentence"]
    return sentence.replace("_", meant)


def _keeping(rng: random.Random) -> str:
    row = reading.row("openbookqa", "pages", rng)
    stem: str = row["question_stem"]
    return stem[: stem.index(".") + 1]


def _deed(rng: random.Random) -> str:
    kind, name, what = reading.deed("pages", rng)
    return reading.tell_deed(kind, name, what)
