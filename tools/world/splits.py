"""The scored rows of the tasks, and the narrative corpus: both seeded, and cached in the process."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from typing import Any, Literal

from tailored_llama.errors import TaskError
from tailored_llama.world import GENERATION, TASKS, Split
from tools.world import narrative, reading, recall
from tools.world.facts import SEED

Row = dict[str, Any]
SIZES: dict[Split, int] = {"train": 600, "validation": 500, "test": 600}
CHOICES = {name: 2 if name in ("boolq", "piqa", "winogrande") else 4 for name in TASKS}
STORIES: dict[str, int] = {"train": 2400, "test": 480}


@cache
def make_rows(name: str, split: Split) -> tuple[Row, ...]:
    """`SIZES[split]` different rows; in tasks of choices every position of the right answer is equally
    frequent.

    Raises TaskError for an unknown task or split.
    """
    known = TASKS + GENERATION
    if name not in known or split not in SIZES:
        raise TaskError(f"world/{name}: no such task or split '{split}'; there are {', '.join(known)}")
    make = reading.row if name in reading.KINDS else recall.row
    rng = random.Random(f"{SEED} rows {name} {split}")
    places = CHOICES.get(name, 1)
    room = Counter(dict.fromkeys(range(places), SIZES[split] // places))
    seen: set[str] = set()
    rows: list[Row] = []
    while sum(room.values()):
        row = make(name, split, rng)
        key = identity(name, row)
        place = gold(name, row)
        if key in seen or not room[place]:
            continue
        seen.add(key)
        room[place] -= 1
        rows.append(_numbered(name, split, row, len(rows)))
    return tuple(rows)


def gold(name: str, row: Row) -> int:
    """The index of the right choice, from 0."""
    if name in GENERATION:
        return 0
    if name == "winogrande":
        return int(row["answer"]) - 1
    if "answerKey" in row:
        return int(row["choices"]["label"].index(row["answerKey"]))
    return int(row["label"])


def question(name: str, row: Row) -> str:
    """The question with its passage or context."""
    if name == "boolq":
        return f"{row['passage']} {row['question']}"
    if name in ("piqa", "winogrande"):
        return str(row["goal" if name == "piqa" else "sentence"])
    if name == "hellaswag":
        return str(row["ctx"])
    return str(row["question_stem" if name == "openbookqa" else "question"])


def choices(name: str, row: Row) -> list[str]:
    """The choices in order; for a task of `GENERATION` only the right answer."""
    if name in GENERATION:
        return [row["answer"]]
    if name == "boolq":
        return ["no", "yes"]
    if name == "piqa":
        return [row["sol1"], row["sol2"]]
    if name == "winogrande":
        return [row["option1"], row["option2"]]
    return list(row["endings"] if name == "hellaswag" else row["choices"]["text"])


def identity(name: str, row: Row) -> str:
    """A key that is equal for two rows with the same question and the same choices in any order."""
    return question(name, row) + " | " + " | ".join(sorted(choices(name, row)))


def _numbered(name: str, split: str, row: Row, number: int) -> Row:
    for field, value in (("idx", number), ("ind", number), ("id", f"world-{name}-{split}-{number}")):
        if field in row:
            row[field] = value
    return row


@cache
def make_text(split: Literal["train", "test"]) -> str:
    """Stories, one per line. The bundled model was not trained on those of `test`."""
    if split not in STORIES:
        raise TaskError(f"world text: no split '{split}'; there are train and test")
    rng = random.Random(f"{SEED} stories {split}")
    return "\n".join(narrative.story(rng) for _ in range(STORIES[split])) + "\n"
