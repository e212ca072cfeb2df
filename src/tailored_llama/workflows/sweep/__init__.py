"""Sweep: a recipe run over lists of values. Every combination (cell) is a run; one table has all results.

The directory contains `cells/NAME/`, one run each; `stages/`, the stages that cells share (equal prunes and
equal dense rows are computed once); and `sweep.json` and `report.html` over all cells.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.checkpoint import clear_leftovers
from tailored_llama.errors import DivergedError, MemoryLimitError, NotFiniteError, TailorError
from tailored_llama.machine import release
from tailored_llama.recipe import Recipe
from tailored_llama.reporting import report_sweep
from tailored_llama.results import CellState, SweepResults, read_results
from tailored_llama.stage import Store, clear_working, run_directory, versions
from tailored_llama.workflows.contents import recipe_inputs, recipe_settings, unchanged
from tailored_llama.workflows.outlook import Pace, start, total
from tailored_llama.workflows.steps import SAME
from tailored_llama.workflows.sweep.cells import Cell, cells_of
from tailored_llama.workflows.sweep.check import SWEEP, check_sweep, is_finished
from tailored_llama.workflows.sweep.outlook import outlook_of
from tailored_llama.workflows.sweep.table import table
from tailored_llama.workflows.tailor import tailor

__all__ = ["SWEEP", "cells_of", "sweep"]

CELL_ERRORS = (DivergedError, MemoryLimitError, NotFiniteError)
"""Errors that end one cell; the other cells are still run."""
log = logging.getLogger(__name__)


def sweep(recipe: Recipe, out: Path) -> SweepResults:
    """Run every cell of `recipe` that is not finished in `out`; returns the contents of `sweep.json`.

    Tasks are scored in the tuned wording only or, without tuning (`sweep.tuned: false`), in lm_eval's. A cell
    whose tuning diverges, whose model gives values that are not finite, or that runs out of memory is
    recorded under `failed`, and the other cells are still run. `sweep.json` is rewritten after every cell.
    Raises RecipeError, before anything is written, for an invalid sweep or a cell that could not be
    completed.
    """
    out = out.resolve()
    cells = check_sweep(recipe, out)
    log.info("sweep: %d cells", len(cells))
    ahead = outlook_of(cells, out)
    start(ahead.line, ahead.need, ahead.there, out)
    pace = Pace({cell.name: total(cell.stages) for cell in ahead.cells if not cell.finished}, "cell")
    for directory in (out, out / "stages"):
        clear_leftovers(directory)
    failed: dict[str, str] = {}
    kind: type[TailorError] = TailorError
    finished = _finished(cells, out)
    _document(recipe, cells, out, finished, failed)
    for wait in (False, True):  # cells of another process come last: they may be finished by then
        for cell in cells:
            if cell.name in failed or (cell.name in finished and not _lacks_dense_tuned(cell, out)):
                continue
            try:
                with pace.part(cell.name):
                    if not _run(cell, out, wait=wait):
                        continue
                finished.add(cell.name)
            except CELL_ERRORS as error:
                log.warning("cell %s: %s", cell.name, error)
                kind = kind if failed else type(error)
                failed[cell.name] = str(error)
                gc.collect()  # reference cycles may hold the failed cell's memory, which the next one needs
                release()
            _document(recipe, cells, out, finished, failed)
    document = _document(recipe, cells, out, _finished(cells, out), failed)
    report_sweep(document, out / "report.html")
    _release(recipe, out)
    if not document.settings:
        raise kind(f"sweep: all cells failed; the first error: {next(iter(failed.values()))}")
    return document


def _release(recipe: Recipe, out: Path) -> None:
    """Remove the teacher's distributions, which no cell needs any more, unless `keep` is `all`."""
    if recipe.keep == "needed":
        clear_working(out / "stages")


def _finished(cells: Sequence[Cell], out: Path) -> set[str]:
    """The names of the cells that are finished with these settings and the current inputs."""
    return {cell.name for cell in cells if is_finished(cell, out)}


def _lacks_dense_tuned(cell: Cell, out: Path) -> bool:
    path = out / "cells" / cell.name / "results.json"
    rows = read_results(path, checkpoint.read_json(path)).rows
    return cell.tuned and cell.dense_tuned and all(row.stage != "dense_tuned" for row in rows)


def _run(cell: Cell, out: Path, *, wait: bool) -> bool:
    """Run a cell; False if another process is running it and `wait` is false."""
    home, recipe = out / "cells" / cell.name, cell.recipe
    with run_directory(
        home, recipe=recipe.model_dump(mode="json"), settings=recipe_settings(recipe),
        inputs=recipe_inputs(recipe), wait=wait,
    ) as directory:  # fmt: skip
        if directory is None:
            return False
        (home / "results.json").unlink(missing_ok=True)
        store = Store(home, out / "stages", check=unchanged(recipe))
        results = tailor(recipe, store, (SAME,), dense_tuned=cell.dense_tuned, tuned=cell.tuned)
        checkpoint.write_json(home / "results.json", results.to_json())
        store.clear()
    return True


def _document(
    recipe: Recipe, cells: Sequence[Cell], out: Path, finished: set[str], failed: dict[str, str]
) -> SweepResults:
    """Write `sweep.json` with the finished cells."""
    document = SweepResults(
        settings=table(cells, out / "cells", finished),
        cells=[
            CellState(name=cell.name, seed=cell.seed, chosen=cell.chosen, finished=cell.name in finished)
            for cell in cells
        ],
        failed=dict(failed), recipe=recipe.model_dump(mode="json"), versions=versions(),
    )  # fmt: skip
    checkpoint.write_json(out / SWEEP, document.to_json())
    return document
