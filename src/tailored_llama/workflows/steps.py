"""What a run of a recipe consists of: its cuts, its wordings, the names of its tasks."""

from __future__ import annotations

from collections.abc import Mapping

from tailored_llama.data import load_task
from tailored_llama.recipe import Prune, Recipe

SAME, HARNESS, DENSE = "same", "harness", "dense-"


def cuts_of(recipe: Recipe) -> tuple[int, Prune]:
    """How many times the model is cut, and the settings of each cut."""
    rounds = recipe.heal.rounds if recipe.heal else 1
    share = 1 - (1 - recipe.prune.ratio) ** (1 / rounds) if rounds > 1 else recipe.prune.ratio
    return rounds, recipe.prune.model_copy(update={"ratio": share})


def name_of(task: str) -> str:
    """A task's own name, which a path to its file does not tell."""
    return load_task(task).name


def wordings(recipe: Recipe, prompts: Mapping[str, str], wording: str) -> dict[str, str]:
    """The prompt in which each scored task is asked; one that lm_eval does not know has no `harness` wording.

    A task that is scored but not tailored to has no tuned wording: in `same` it is asked in its stock one.
    """
    asked = {}
    for task in recipe.evaluate.tasks or recipe.tasks:
        stock = load_task(task).stock
        if wording == SAME:
            asked[task] = prompts.get(task, stock)
        elif stock == HARNESS:
            asked[task] = HARNESS
    return asked
