"""The checks before the first cell of a sweep, and the check whether a cell is finished."""

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
    """The checked cells of `recipe`, to be run in the directory `out`.

    Raises RecipeError for an invalid sweep, OutputError if `out` has other contents, and what `check` raises.
    """
    cells = cells_of(recipe)
    if recipe.evaluate.prompt != SAME:
        raise RecipeError("sweep: a sweep scores in the tuned wording only; leave evaluate.prompt at 'same'")
    if not cells[0].tuned and not wordings(recipe, {}, HARNESS):
        raise RecipeError(
            f"sweep.tuned: false needs tasks with the wording '{HARNESS}', and the recipe has none"
        )
    if len({(cell.recipe.tasks, cell.recipe.evaluate.model_dump_json()) for cell in cells}) > 1:
        raise RecipeError(
            "sweep: all cells are compared on the same questions; remove tasks and evaluate from the lists "
            "and variants"
        )
    for distinct in {cell.recipe.model_dump_json(exclude={"seed"}): cell.recipe for cell in cells}.values():
        check(distinct)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name an empty or new directory")
    # `stages` of another sweep may have been copied there for reuse; names with a dot are being written.
    others = {path.name for path in out.glob("[!.]*")} - {"stages"}
    if others and not (out / SWEEP).is_file() and not any(map(is_run, out.glob("cells/*"))):
        raise OutputError(f"{out} contains files that are not a sweep's; name an empty or new directory")
    return cells


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether a cell is finished with these settings and the current model and rows."""
    return is_complete_run(
        out / "cells" / cell.name, settings=recipe_settings(cell.recipe), inputs=recipe_inputs(cell.recipe),
        seed=cell.seed,
    )  # fmt: skip
