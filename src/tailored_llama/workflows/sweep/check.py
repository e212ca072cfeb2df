"""What is checked before the first cell of a sweep, and which cells are finished."""

from __future__ import annotations

from pathlib import Path

from tailored_llama.errors import OutputError, RecipeError
from tailored_llama.recipe import Recipe
from tailored_llama.stage import is_complete_run, is_run
from tailored_llama.workflows.contents import recipe_inputs, recipe_settings
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.steps import HARNESS, SAME, wordings
from tailored_llama.workflows.sweep.cells import Cell, cells_of

SWEEP = "sweep.json"


def check_sweep(recipe: Recipe, out: Path) -> list[Cell]:
    """The cells of `recipe`, each of which could run to its end, into the directory `out`.

    Raises RecipeError for a sweep that makes no sense, OutputError if `out` holds something else, and what
    `check` raises.
    """
    cells = cells_of(recipe)
    if recipe.evaluate.prompt != SAME:
        raise RecipeError("sweep: it scores in the tuned wording only; leave evaluate.prompt at 'same'")
    if not cells[0].tuned and not wordings(recipe, {}, HARNESS):
        raise RecipeError(
            f"sweep.tuned: false scores in the wording '{HARNESS}', which no task of the recipe has"
        )
    if len({(cell.recipe.tasks, cell.recipe.evaluate.model_dump_json()) for cell in cells}) > 1:
        raise RecipeError(
            "sweep: settings are compared on the same questions; leave tasks and evaluate out of its lists "
            "and variants"
        )
    for settled in {cell.recipe.model_dump_json(exclude={"seed"}): cell.recipe for cell in cells}.values():
        check(settled)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name an empty or new directory")
    # Stages of another sweep may have been put there, to be used again; what has a dot is being written.
    found = {path.name for path in out.glob("[!.]*")} - {"stages"}
    if found and not (out / SWEEP).is_file() and not any(map(is_run, out.glob("cells/*"))):
        raise OutputError(f"{out} holds something else than a sweep; name an empty or new directory")
    return cells


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether a cell is done: by these settings, of what its model and rows are now."""
    return is_complete_run(
        out / "cells" / cell.name, settings=recipe_settings(cell.recipe), inputs=recipe_inputs(cell.recipe),
        seed=cell.seed,
    )  # fmt: skip
