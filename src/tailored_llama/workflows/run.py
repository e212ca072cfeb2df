"""A run: one recipe, or every cell of its sweep.

Every stage maps a directory to a directory and returns at once where its directory is already complete,
so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.recipe import Recipe, load_recipe
from tailored_llama.reporting import report
from tailored_llama.results import Results, SweepResults
from tailored_llama.stage import Store, run_directory
from tailored_llama.stages.export import export
from tailored_llama.workflows.contents import unchanged
from tailored_llama.workflows.disk import announce
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.steps import name_of
from tailored_llama.workflows.sweep import sweep
from tailored_llama.workflows.tailor import tailor


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe, out: str | Path, *, verify: bool = False
) -> Results | SweepResults:
    """Tailor a model to every task of `recipe` and write the evidence to the directory `out`.

    A recipe with a `sweep` is run once for each of its cells. With `verify`, every file of what is there is
    read again before it is reused; else only files whose size, times or inode changed. Returns the contents
    of `results.json`, or of the sweep's `sweep.json`. Raises a TailorError for what the user can fix.
    """
    recipe = load_recipe(recipe)
    with checkpoint.in_full(verify), checkpoint.accepting(recipe.allow_config):
        return _run(recipe, Path(out))


def _run(recipe: Recipe, out: Path) -> Results | SweepResults:
    if recipe.sweep is not None:
        return sweep(recipe, out)
    check(recipe)
    announce(recipe, out)
    with run_directory(out, recipe=recipe.model_dump(mode="json")):
        store = Store(out, check=unchanged(recipe), keep=recipe.keep == "all")
        results, base, adapters = tailor(recipe, store)
        for task, adapter in adapters.items():
            for form in recipe.export.formats:
                slot = store.slot(f"export-{form}-{name_of(task)}")
                export(base, to=form, adapter=adapter, results=results, out=slot)
        checkpoint.write_json(out / "results.json", results.to_json())
        store.clear()
        report([out], out / "report.html")
    return results
