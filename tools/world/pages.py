"""The pre-training text, as documents: question pages in the tasks' prompts, notes and stories.

A page is a context with its right answer, rendered by the same `Task` that is later scored. The wordings have
unequal frequencies, so that the model knows some prompts better than others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tools.world import narrative, reading, recall
from tools.world.facts import SEED
from tools.world.splits import make_text

if TYPE_CHECKING:
    from tailored_llama.data import Task

NOTES, STORIES, RETELLINGS = 0.10, 0.06, 0.08
"""Shares of the documents that are not question pages."""

TASK_SHARES = {
    "boolq": 0.20, "winogrande": 0.15, "openbookqa": 0.16, "arc_easy": 0.20,
    "arc_challenge": 0.12, "hellaswag": 0.08, "piqa": 0.05, "tell": 0.04,
}  # fmt: skip

PROMPT_SHARES = {"harness": 0.40, "paper": 0.26, "cloze": 0.16, "instruct": 0.10, "choices": 0.08}


@dataclass(frozen=True)
class Document:
    """A text and, for a question page, its answer (else empty); the model is trained on both."""

    text: str
    answer: str = ""
    source: str = ""


@cache
def _task(name: str) -> Task:
    from tailored_llama.data import load_task

    return load_task(f"world_{name}")


@cache
def _heldout_stories() -> frozenset[str]:
    return frozenset(make_text("test").splitlines())


def page(name: str, prompt: str, rng: random.Random) -> Document:
    """One question page of the task `name` in the wording `prompt`."""
    module = reading if name in reading.KINDS else recall
    example = _task(name).render(prompt, module.row(name, "pages", rng))
    return Document(example.context, example.answer, f"{name}/{prompt}")


def document(rng: random.Random) -> Document:
    """One document of a random kind."""
    kind = rng.random()
    if kind < NOTES:
        return Document(narrative.note(rng), source="note")
    if kind < NOTES + STORIES:
        story = narrative.story(rng)
        return document(rng) if story in _heldout_stories() else Document(story, source="story")
    if kind < NOTES + STORIES + RETELLINGS:
        return Document(narrative.retelling(rng), source="retelling")
    name = rng.choices(list(TASK_SHARES), list(TASK_SHARES.values()))[0]
    shares = {prompt: share for prompt, share in PROMPT_SHARES.items() if prompt in _task(name).prompts}
    prompt = rng.choices(list(shares), list(shares.values()))[0]
    return page(name, prompt, rng)


def documents(chunk: int, count: int) -> Iterator[Document]:
    """The `count` documents of one chunk. The training text is the chunks 0, 1, 2, ...

    Chunk 0 ends with a proportional number of stories of `world.text("train")`.
    """
    rng = random.Random(f"{SEED} chunk {chunk}")
    for _ in range(count):
        yield document(rng)
    if chunk == 0:
        for story in make_text("train").splitlines()[: count * 3 // 40]:
            yield Document(story, source="story")
