"""Leak check: texts of scored questions must not occur in the training text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from tailored_llama.world import GENERATION, TASKS, Split
from tools.world import recall
from tools.world.combos import wordings_in
from tools.world.facts import PEOPLE
from tools.world.splits import choices, gold, make_rows, question

START = 4
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def normalised(text: str) -> str:
    """Lower-case words and single spaces only; the blank of a winogrande sentence is kept."""
    return " " + " ".join(re.findall(r"[a-z0-9_]+", text.lower())) + " "


def forbidden(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    """The question, and the question with its right answer inserted or appended, normalised."""
    answer = choices(name, row)[gold(name, row)]
    text = question(name, row)
    answered = text.replace("_", answer) if name == "winogrande" else f"{text} {answer}"
    return normalised(text), normalised(answered)


@cache
def heldout_sentences() -> dict[str, str]:
    """From each statement of a fact in a scored wording, with every person's name, to that fact."""
    return {
        normalised(recall.tell(fact, wording, name)): " ".join(fact)
        for kind in recall.KINDS
        for fact in recall.facts(kind)
        for bucket in SPLITS
        for wording in wordings_in(bucket, *fact)
        for name in PEOPLE
    }


@cache
def scored_texts() -> dict[str, str]:
    """From every text that must not be trained on to its row or fact."""
    texts = {
        text: f"{name}/{split} row {index}"
        for name in TASKS + GENERATION
        for split in SPLITS
        for index, row in enumerate(make_rows(name, split))
        for text in forbidden(name, row)
    }
    return texts | heldout_sentences()


@cache
def _by_start() -> dict[str, list[str]]:
    """The forbidden texts by their first four words, an index for the search."""
    starts: dict[str, list[str]] = {}
    for entry in scored_texts():
        starts.setdefault(" ".join(entry.split()[:START]), []).append(entry)
    return starts


def leaks(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(row or fact, text) for every forbidden text that occurs in one of `texts`."""
    starts = _by_start()
    for text in texts:
        words = normalised(text).split()
        joined = " " + " ".join(words) + " "
        for place in range(len(words)):
            for size in range(1, START + 1):
                for entry in starts.get(" ".join(words[place : place + size]), ()):
                    if entry in joined:
                        yield scored_texts()[entry], text
