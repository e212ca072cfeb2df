"""The questions of a task: its scored rows in one wording, with few-shot examples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tailored_llama.data import Example, Prompt, Task
from tailored_llama.data.rows import Rows
from tailored_llama.data.shots import draw, reserved, scored_rows
from tailored_llama.errors import RecipeError, TaskError
from tailored_llama.progress import note_once

log = logging.getLogger(__name__)
SplitName = Literal["scored", "validation", "train"]


def check_split(task: Task, split: SplitName) -> None:
    """TaskError for the `validation` split of a task that is scored on it: settings chosen by it must not be
    scored on it.
    """
    if split == task.scored:
        raise TaskError(
            f"task {task.name} is scored on its {split} split, so settings must not be chosen by it; "
            "leave evaluate.split at 'scored'"
        )


def scored_questions(task: Task, data: str | None, split: SplitName) -> Rows:
    """All rows of the split; of `train` the rows that are reserved (shots.reserved). Raises TaskError and
    DataError as Task and `check_split` do.
    """
    check_split(task, split)
    rows = task.rows(split, data)
    return reserved(task, rows, scored_rows(task, data)) if split == "train" else rows


@dataclass(frozen=True)
class Questions:
    """A task's scored rows in one wording, and the few-shot examples before each of them."""

    task: Task
    prompt: Prompt
    examples: list[Example]
    shots: list[Example]
    place: str

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The answers, if all of several questions have the same ones after one context; else None."""
        if self.task.kind != "choice" or self.prompt.partial or len(self.examples) < 2:
            return None
        answers = {example.answers for example in self.examples}
        return answers.pop() if len(answers) == 1 else None

    @classmethod
    def of(
        cls, task: Task, prompt: str, data: str | None, *, limit: int | None, fewshot: int, seed: int,
        split: SplitName = "scored",
    ) -> Questions:  # fmt: skip
        """The first `limit` rows of the split, with `fewshot` training rows drawn by `seed` before each, the
        same ones before all. Raises what `scored_questions` raises.
        """
        rows = scored_questions(task, data, split)
        reserve = split == "train"
        shots: list[Example] = []
        if fewshot:
            drawn = draw(task, task.rows("train", data), fewshot, seed, scored=rows, reserve=reserve)
            shots = task.examples(prompt, drawn.rows)
        examples = task.examples(prompt, rows)[:limit]
        return cls(task, task.prompt(prompt), examples, shots, f"task {task.name}, {rows.where}")


def check_calibration(questions: Sequence[Questions]) -> None:
    """A note that names the tasks without batch calibration; RecipeError if that is all of them."""
    without = [entry.task.name for entry in questions if entry.labels is None]
    if len(without) == len(questions):
        raise RecipeError(
            "evaluate.batch_calibration: it needs a task of several questions that all have the same answers "
            f"(scored: {', '.join(without) or 'no task'}); name another task or prompt, or leave it out"
        )
    if without:
        note_once(
            log,
            f"batch calibration: not for {', '.join(without)}, whose answers differ between questions; "
            "scored without it",
        )
