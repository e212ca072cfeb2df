"""The question for all models: a typed prompt with choices, or a task's row in one of its wordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tailored_llama.data import Metric, load_task, task_names
from tailored_llama.errors import DataError, TaskError, shown
from tailored_llama.play.models import Player


@dataclass(frozen=True)
class Question:
    """A prompt, and choices compared by `metric` (without choices: text only).

    If known, `gold` is the index of the correct choice, and `references` are correct texts.
    """

    prompt: str
    choices: tuple[str, ...] = ()
    gold: int | None = None
    metric: Metric = "acc"
    delimiter: str = " "
    references: tuple[str, ...] = ()

    @property
    def lines(self) -> str:
        """The choices as shown in the text field, one per line."""
        return "\n".join(choice.replace("\n", " ") for choice in self.choices)


@dataclass(frozen=True)
class Start:
    """The initial content of the page: a task, one of its wordings, and a question."""

    task: str
    wording: str | None
    question: Question


def names(players: Sequence[Player], data: Mapping[str, str], tasks: Sequence[str] = ()) -> list[str]:
    """The tasks to choose from: those that models were tuned on, `tasks`, and tasks with local rows.

    Raises TaskError if one of `tasks` is not a task.
    """
    for task in tasks:
        load_task(task)
    tuned = [player.shots.task for player in players if player.shots]
    result = []
    for name in dict.fromkeys([*tuned, *tasks, *data, *task_names()]):
        try:
            local = is_local(name, data)
        except TaskError:  # the file of a user's task was moved
            continue
        if local or name in tuned or name in tasks:
            result.append(name)
    return result


def on_page(task: str, offered: Sequence[str]) -> str:
    """`task`, if it is one of `offered` or a bundled task.

    Raises TaskError for any other, without opening it: a path typed on the page must not reveal the contents
    or existence of files on this machine.
    """
    if task in offered or task in task_names():
        return task
    raise TaskError(
        f"no task {shown(task, 60)} on this page; choose one from the list, or name your task file when you "
        "start the page: --set tasks=[my-task.yaml]"
    )


def is_local(task: str, data: Mapping[str, str]) -> bool:
    """Whether the rows of a task are available without the hub."""
    loaded = load_task(task)
    return loaded.name in data or loaded.world or loaded.files is not None


def wordings(task: str) -> list[str]:
    """The wordings of a task with one context for all choices."""
    return [name for name, prompt in load_task(task).prompts.items() if not prompt.partial]


def wording_of(players: Sequence[Player], task: str) -> str | None:
    """The wording in which a model was tuned on `task`, else the task's first one."""
    available = wordings(task)
    tuned = [player.shots.prompt for player in players if player.shots and player.shots.task == task]
    return next((name for name in [*tuned, *available] if name in available), None)


def start(players: Sequence[Player], data: Mapping[str, str], tasks: Sequence[str] = ()) -> Start:
    """The first question of the task that a model was tuned on, if its rows are local."""
    task = names(players, data, tasks)[0]
    wording = wording_of(players, task)
    tuned = task in {player.shots.task for player in players if player.shots}
    if not (tuned and is_local(task, data)):
        return Start(task, wording, Question(""))
    try:
        return Start(task, wording, question(task, wording, 1, data))
    except TaskError:
        return Start(task, wording, Question(""))


def question(task: str, wording: str | None, number: float | None, data: Mapping[str, str]) -> Question:
    """Row `number`, from 1, of the scored split of `task`. Raises TaskError, DataError."""
    loaded = load_task(task)
    if wording not in wordings(task):
        raise TaskError(f"task {task} has no wording '{wording}'; it has: {', '.join(wordings(task))}")
    rows = loaded.rows("scored", data.get(loaded.name))
    if number is None or not 1 <= number <= len(rows):
        raise DataError(f"task {task} has rows 1 to {len(rows)}; row {number} does not exist")
    example = loaded.render(wording, rows[int(number) - 1], int(number) - 1, rows.where)
    if example.references:
        return Question(example.contexts[0], references=example.references)
    choices = tuple(answer.removeprefix(example.delimiter) for answer in example.answers)
    return Question(example.contexts[0], choices, example.gold, loaded.metric, example.delimiter)


def typed(prompt: str, lines: str, filled: Question | None) -> Question:
    """The question in the text fields; `filled` is the task question that they were filled with, if any.

    Raises DataError if the prompt is empty or there is a single choice.
    """
    if not prompt.strip():
        raise DataError("the prompt is empty; write one, or load a question of a task")
    if filled is not None and lines == filled.lines:
        return filled if prompt == filled.prompt else replace(filled, prompt=prompt, gold=None, references=())
    choices = tuple(line.strip() for line in lines.splitlines() if line.strip())
    if len(choices) == 1:
        raise DataError("there is only one choice; write two or more, one per line")
    return Question(prompt, choices)
