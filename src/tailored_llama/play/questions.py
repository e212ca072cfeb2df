"""The question to all models: a prompt and choices as typed, or a task's row in one of its wordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tailored_llama.data import Metric, load_task, task_names
from tailored_llama.errors import DataError, TaskError, shown
from tailored_llama.play.models import Player


@dataclass(frozen=True)
class Question:
    """A prompt, and choices compared by `metric` (none: text only).

    Where they are known, `gold` is the right choice and `references` are texts that would be right.
    """

    prompt: str
    choices: tuple[str, ...] = ()
    gold: int | None = None
    metric: Metric = "acc"
    delimiter: str = " "
    references: tuple[str, ...] = ()

    @property
    def lines(self) -> str:
        """The choices as they stand in their field."""
        return "\n".join(choice.replace("\n", " ") for choice in self.choices)


@dataclass(frozen=True)
class Start:
    """What the page shows first: a task, a wording of it, and a question."""

    task: str
    wording: str | None
    question: Question


def names(players: Sequence[Player], data: Mapping[str, str], tasks: Sequence[str] = ()) -> list[str]:
    """The tasks to choose from: what a model was tuned on, `tasks`, and tasks whose rows are on this disk.

    Raises TaskError where one of `tasks` is none.
    """
    for task in tasks:
        load_task(task)
    tuned = [str(player.shots["task"]) for player in players if "task" in player.shots]
    found = []
    for name in dict.fromkeys([*tuned, *tasks, *data, *task_names()]):
        try:
            local = here(name, data)
        except TaskError:  # a user's own task, whose file is elsewhere by now
            continue
        if local or name in tuned or name in tasks:
            found.append(name)
    return found


def on_page(task: str, offered: Sequence[str]) -> str:
    """`task`, where it is one of `offered` or a bundled task.

    Raises TaskError for any other, without opening it: a path that is typed on the page must not tell what is
    in the files of this machine, or whether they exist.
    """
    if task in offered or task in task_names():
        return task
    raise TaskError(
        f"no task {shown(task, 60)} on this page; take one of the list, or name your task file when you "
        "start the page: --set tasks=[my-task.yaml]"
    )


def here(task: str, data: Mapping[str, str]) -> bool:
    """Whether the rows of a task need no hub."""
    loaded = load_task(task)
    return loaded.name in data or loaded.name.startswith("world_") or loaded.files is not None


def wordings(task: str) -> list[str]:
    """The wordings of a task in which one prompt stands before all choices."""
    return [name for name, prompt in load_task(task).prompts.items() if not prompt.partial]


def wording_of(players: Sequence[Player], task: str) -> str | None:
    """The wording that a model was tuned in on `task`, else the task's first one."""
    there = wordings(task)
    tuned = [str(player.shots["prompt"]) for player in players if player.shots.get("task") == task]
    return next((name for name in [*tuned, *there] if name in there), None)


def start(players: Sequence[Player], data: Mapping[str, str], tasks: Sequence[str] = ()) -> Start:
    """The first question of the task that a model was tuned on, where its rows are on this disk."""
    task = names(players, data, tasks)[0]
    wording = wording_of(players, task)
    tuned = task in {player.shots.get("task") for player in players}
    if not (tuned and here(task, data)):
        return Start(task, wording, Question(""))
    try:
        return Start(task, wording, question(task, wording, 1, data))
    except TaskError:
        return Start(task, wording, Question(""))


def question(task: str, wording: str | None, number: float | None, data: Mapping[str, str]) -> Question:
    """Row `number`, from 1, of the split of `task` that is scored. Raises TaskError, DataError."""
    loaded = load_task(task)
    if wording not in wordings(task):
        raise TaskError(f"task {task} has no wording '{wording}' here; it has: {', '.join(wordings(task))}")
    rows = loaded.rows("scored", data.get(loaded.name))
    if number is None or not 1 <= number <= len(rows):
        raise DataError(f"task {task} has rows 1 to {len(rows)}; {number} is none of them")
    example = loaded.render(wording, rows[int(number) - 1], int(number) - 1, rows.where)
    if example.references:
        return Question(example.contexts[0], references=example.references)
    choices = tuple(answer.removeprefix(example.delimiter) for answer in example.answers)
    return Question(example.contexts[0], choices, example.gold, loaded.metric, example.delimiter)


def asked(prompt: str, lines: str, known: Question | None) -> Question:
    """What the fields say: `known` where it is what they were filled with, else the text as typed.

    Raises DataError where there is no prompt, or a single choice.
    """
    if not prompt.strip():
        raise DataError("the prompt is empty; write one, or take a question of a task")
    if known is not None and lines == known.lines:
        return known if prompt == known.prompt else replace(known, prompt=prompt, gold=None, references=())
    choices = tuple(line.strip() for line in lines.splitlines() if line.strip())
    if len(choices) == 1:
        raise DataError("one choice has nothing to be compared with; write two or more, one a line")
    return Question(prompt, choices)
