"""The stages of a run and their dependencies, described before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tailored_llama.data import load_task
from tailored_llama.data.shots import ALL, AUTO
from tailored_llama.recipe import Evaluate, Prune, Recipe
from tailored_llama.results import Majority, Row
from tailored_llama.stage import Slot
from tailored_llama.stages.evaluate.questions import Questions
from tailored_llama.stages.tune import chosen_prompt

SAME, HARNESS, DENSE = "same", "harness", "dense-"
Kind = Literal["prune", "heal", "tune", "evaluate", "export"]


@dataclass
class Made:
    """The results of the finished stages of a run, by name: directories, and rows of `results.json`."""

    places: dict[str, Path] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    majority: Majority | None = None
    """Computed once, when the rows are complete."""

    def add(self, name: str, result: Path | Row) -> None:
        """Record the result of the stage `name`."""
        if isinstance(result, Row):
            self.rows[name] = result
        else:
            self.places[name] = result

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self.rows


@dataclass(frozen=True)
class Step:
    """One stage of a run: its name, the stages that it reads, and the function that completes it.

    `settings` and the inputs determine its result. Two runs share a stage if its `settings`, and those of all
    stages that it reads, are equal. `cuts` is the number of times that its model has been cut: 0 for the
    dense model.
    """

    kind: Kind
    name: str
    complete: Callable[[Made, Slot], Path | Row]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    cuts: int = 0
    tasks: tuple[str, ...] = ()
    """The tasks, as named in the recipe."""
    wording: str = ""
    """The wording in which the tasks are scored: `same` or `harness`."""
    corpora: tuple[str, ...] = ()
    """Texts whose perplexity is measured."""


@dataclass(frozen=True)
class Evaluation:
    """The steps of one kind of row: a model in one wording. With `combined`, each step has its own adapter,
    and a row that combines them follows.
    """

    steps: tuple[Step, ...]
    combined: bool


@dataclass(frozen=True)
class Course:
    """All stages of a run, in the order in which they are computed."""

    cuts: Sequence[Step]
    tunings: Sequence[Step]
    evaluations: Sequence[Evaluation]
    exports: Sequence[Step]

    @property
    def scored(self) -> list[Step]:
        """The steps of the evaluations."""
        return [step for evaluation in self.evaluations for step in evaluation.steps]

    @property
    def steps(self) -> list[Step]:
        """All stages."""
        return [*self.cuts, *self.tunings, *self.scored, *self.exports]


def cuts_of(recipe: Recipe) -> tuple[int, Prune]:
    """How many times the model is cut, and the settings of each cut."""
    rounds = recipe.heal.rounds if recipe.heal else 1
    share = 1 - (1 - recipe.prune.ratio) ** (1 / rounds) if rounds > 1 else recipe.prune.ratio
    return rounds, recipe.prune.model_copy(update={"ratio": share})


def name_of(task: str) -> str:
    """The name in the task file, which can differ from the file's name."""
    return load_task(task).name


def wordings(recipe: Recipe, prompts: Mapping[str, str], wording: str) -> dict[str, str]:
    """The prompt in which each task is scored. A task that lm_eval does not have has no `harness` wording.

    A task that is scored but not tuned has no tuned wording: in `same` it is scored in its stock wording.
    """
    names = {}
    for task in recipe.evaluate.tasks or recipe.tasks:
        stock = load_task(task).stock
        if wording == SAME:
            names[task] = prompts.get(task, stock)
        elif wording == HARNESS and stock != HARNESS:
            continue
        else:
            names[task] = load_task(task).prompt(wording).name
    return names


def prompts_of(recipe: Recipe, made: Made) -> dict[str, str]:
    """The wording that each task was tuned in, chosen once, on the pruned model."""
    if recipe.tune.prompt not in (AUTO, ALL):
        return dict.fromkeys(recipe.tasks, recipe.tune.prompt)
    return {task: chosen_prompt(made.places[tuned(task)]) for task in recipe.tasks}


def tuned(task: str, *, dense: bool = False) -> str:
    """The name of the stage that tunes the smaller or the dense model on `task`."""
    return f"tune-{DENSE if dense else ''}{name_of(task)}"


def last_cut(recipe: Recipe) -> str:
    """The name of the stage whose model is tuned."""
    return "heal" if recipe.heal else "prune"


def calibrated_where_possible(recipe: Recipe, settings: Evaluate, prompts: Mapping[str, str]) -> Evaluate:
    """`settings` without batch calibration if no task allows it in its prompt: one stage of a run may score
    only such tasks, which an evaluation alone refuses.
    """
    if not settings.batch_calibration or any(has_labels(recipe, name, p) for name, p in prompts.items()):
        return settings
    return settings.model_copy(update={"batch_calibration": False})


def has_labels(recipe: Recipe, name: str, prompt: str) -> bool:
    """Whether all scored questions of a task have the same answers in this prompt."""
    task = load_task(name)
    settings = recipe.evaluate
    questions = Questions.of(
        task, prompt, recipe.data.get(task.name), limit=settings.limit, fewshot=0, seed=recipe.seed,
        split=settings.split,
    )  # fmt: skip
    return questions.labels is not None
