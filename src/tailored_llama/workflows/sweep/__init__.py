"""Sweep: a recipe run over lists of values, every combination a run of its own, all results in one table.

The directory holds `cells/NAME/`, a run each; `stages/`, what the runs share (the same prune, the same dense
rows are computed once); and `sweep.json` and `report.html` over all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.errors import DivergedError, OutputError, RecipeError
from tailored_llama.places import Places
from tailored_llama.recipe import Recipe
from tailored_llama.reporting import report_sweep
from tailored_llama.workflows.run import SAME, check, reads, tailor
from tailored_llama.workflows.sweep.cells import Cell, cells_of
from tailored_llama.workflows.sweep.table import table

__all__ = ["cells_of", "sweep"]

SWEEP = "sweep.json"
log = logging.getLogger(__name__)


def sweep(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Run every cell of `recipe` that is not finished in `out`; returns the contents of `sweep.json`.

    Tasks are scored in the tuned wording only. A cell whose tuning diverges is noted under `failed`, and the
    others go on. `sweep.json` is written anew after every cell. Raises RecipeError before anything is
    written for a sweep that makes no sense or a cell that could not run to its end.
    """
    cells = cells_of(recipe)
    if recipe.evaluate.prompt != SAME:
        raise RecipeError("sweep: it scores in the tuned wording only; leave evaluate.prompt at 'same'")
    if len({(cell.recipe.tasks, cell.recipe.evaluate.model_dump_json()) for cell in cells}) > 1:
        raise RecipeError(
            "sweep: settings are compared on the same questions; leave tasks and evaluate out of its lists "
            "and variants"
        )
    for settled in {cell.recipe.model_dump_json(exclude={"seed"}): cell.recipe for cell in cells}.values():
        check(settled)
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name an empty or new directory")
    # Stages of another sweep may have been put there, to be used again; what has a dot is being written.
    found = {path.name for path in out.glob("[!.]*")} - {"stages"}
    if found and not (out / SWEEP).is_file():
        raise OutputError(f"{out} holds something else than a sweep; name an empty or new directory")
    log.info("sweep: %d cells", len(cells))
    failed: dict[str, str] = {}
    _document(recipe, cells, out, failed)
    for number, cell in enumerate(cells, start=1):
        log.info("cell %d of %d: %s", number, len(cells), cell.name)
        try:
            if not _run(cell, out):
                continue
        except DivergedError as error:
            log.warning("cell %s: %s", cell.name, error)
            failed[cell.name] = str(error)
        _document(recipe, cells, out, failed)
    document = _document(recipe, cells, out, failed)  # with what another process finished meanwhile
    report_sweep(document, out / "report.html")
    if not document["settings"]:
        raise DivergedError(f"sweep: no cell could be finished; the first: {next(iter(failed.values()))}")
    return document


def _is_finished(cell: Cell, home: Path) -> bool:
    """Whether `home` holds this cell's results, by these settings, of what its model and its rows are now."""
    return checkpoint.completed(
        home, stage="run", settings=cell.recipe.model_dump(mode="json"), inputs=reads(cell.recipe),
        seed=cell.seed,
    )  # fmt: skip


def _run(cell: Cell, out: Path) -> bool:
    """Whether there was anything to do."""
    home = out / "cells" / cell.name
    if _is_finished(cell, home):
        rows = checkpoint.read_json(home / "results.json")["rows"]
        if not cell.dense_tuned or any(row["stage"] == "dense_tuned" for row in rows):
            return False
    (out / "stages").mkdir(parents=True, exist_ok=True)
    settings, inputs = cell.recipe.model_dump(mode="json"), reads(cell.recipe)
    with checkpoint.run_directory(home, settings=settings, inputs=inputs):
        (home / "results.json").unlink(missing_ok=True)
        results, _, _ = tailor(
            cell.recipe, Places(home, out / "stages"), (SAME,), dense_tuned=cell.dense_tuned
        )
        checkpoint.write_json(home / "results.json", results)
    return True


def _document(recipe: Recipe, cells: Sequence[Cell], out: Path, failed: dict[str, str]) -> dict[str, Any]:
    """Write `sweep.json` over what is finished."""
    out.mkdir(parents=True, exist_ok=True)
    home = out / "cells"
    finished = {cell.name for cell in cells if _is_finished(cell, home / cell.name)}
    document = {
        "settings": table(cells, home, finished),
        "cells": [
            {"name": cell.name, "seed": cell.seed, "chosen": cell.chosen, "finished": cell.name in finished}
            for cell in cells
        ],
        "failed": failed,
        "recipe": recipe.model_dump(mode="json"),
        "versions": checkpoint.versions(),
    }  # fmt: skip
    checkpoint.write_json(out / SWEEP, document)
    return document
