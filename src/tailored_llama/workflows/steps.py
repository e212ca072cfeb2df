"""What a run of a recipe consists of, before anything is computed: its stages, and what each reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tailored_llama.data import load_task
from tailored_llama.data.shots import AUTO
from tailored_llama.recipe import Prune, Recipe
from tailored_llama.results import Majority, Row
from tailored_llama.stage import Slot
from tailored_llama.stages.tune import chosen_prompt

SAME, HARNESS, DENSE = "same", "harness", "dense-"
Kind = Literal["prune", "heal", "tune", "evaluate", "export"]


@dataclass
class Made:
    """What the finished stages of a run made, by their names: directories, and rows of `results.json`."""

    places: dict[str, Path] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    majority: Majority | None = None
    """Computed once, when the rows are complete."""

    def add(self, name: str, result: Path | Row) -> None:
        """Note the result of the stage `name`."""
        if isinstance(result, Row):
            self.rows[name] = result
        else:
            self.places[name] = result

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self.rows


@dataclass(frozen=True)
class Step:
    """One stage of a run: its name there, the stages that it reads, and how it is completed.

    `settings` are what decides its result beside what it reads. Two runs whose steps have equal `settings`,
    and so on for all that they read, share the stage. `cuts` is how many times the model that it works on has
    been cut: 0 for the dense one.
    """

    kind: Kind
    name: str
    complete: Callable[[Made, Slot], Path | Row]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    cuts: int = 0
    tasks: tuple[str, ...] = ()
    """As the recipe names them."""
    wording: str = ""
    """In which the tasks are scored: `same` or `harness`."""
    corpora: tuple[str, ...] = ()
    """Texts whose perplexity is measured."""


@dataclass(frozen=True)
class Evaluation:
    """The steps of one kind of row: a model in one wording. With `combined`, each has an adapter of its own,
    and a row with all of them follows.
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
        """All of them."""
        return [*self.cuts, *self.tunings, *self.scored, *self.exports]


def cuts_of(recipe: Recipe) -> tuple[int, Prune]:
    """How many times the model is cut, and the settings of each cut."""
    rounds = recipe.heal.rounds if recipe.heal else 1
    share = 1 - (1 - recipe.prune.ratio) ** (1 / rounds) if rounds > 1 else recipe.prune.ratio
    return rounds, recipe.prune.model_copy(update={"ratio": share})


def name_of(task: str) -> str:
    """A task's own name, which a path to its file does not tell."""
    return load_task(task).name


def wordings(recipe: Recipe, prompts: Mapping[str, str], wording: str) -> dict[str, str]:
    """The prompt in which each task is scored; one that lm_eval does not know has no `harness` wording.

    A task that is scored but not tailored to has no tuned wording: in `same` it is scored in its stock one.
    """
    names = {}
    for task in recipe.evaluate.tasks or recipe.tasks:
        stock = load_task(task).stock
        if wording == SAME:
            names[task] = prompts.get(task, stock)
        elif stock == HARNESS:
            names[task] = HARNESS
    return names


def prompts_of(recipe: Recipe, made: Made) -> dict[str, str]:
    """The wording that each task was tuned in, chosen once: on the model that is being tailored."""
    if recipe.tune.prompt != AUTO:
        return dict.fromkeys(recipe.tasks, recipe.tune.prompt)
    return {task: chosen_prompt(made.places[tuned(task)]) for task in recipe.tasks}


def tuned(task: str, *, dense: bool = False) -> str:
    """The name of the stage that tunes to `task`: the smaller model, or the dense one."""
    return f"tune-{DENSE if dense else ''}{name_of(task)}"


def last_cut(recipe: Recipe) -> str:
    """The name of the stage that makes the model which tuning begins with."""
    return "heal" if recipe.heal else "prune"
