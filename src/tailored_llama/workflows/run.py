"""A run: one recipe, or every cell of its sweep.

Every stage maps a directory to a directory, and a complete stage is reused. So an interrupted run resumes
where it stopped.
"""

from __future__ import annotations

from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.recipe import Document, Recipe, load_recipe
from tailored_llama.reporting import report
from tailored_llama.results import Results, SweepResults
from tailored_llama.stage import Store, run_directory
from tailored_llama.workflows.contents import unchanged
from tailored_llama.workflows.course import course_of
from tailored_llama.workflows.outlook import Outlook, Pace, outlook, start
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.sweep import sweep
from tailored_llama.workflows.sweep.outlook import sweep_outlook
from tailored_llama.workflows.tailor import tailor
from tailored_llama.workflows.workload import Workload


def run(
    recipe: str | Path | Document | Recipe, out: str | Path, *, verify: bool = False
) -> Results | SweepResults:
    """Tailor a model to every task of `recipe` and write stages, results and report to the directory `out`.

    The recipe contains the model and all settings; it is a path, a bundled name, a dictionary or a `Recipe`.
    A recipe with a `sweep` is run once for each of its cells. With `verify`, all files of existing stages are
    read again and checked before they are reused; by default only those whose size, times or inode changed.
    Returns the contents of `results.json`, or of the sweep's `sweep.json`. Raises a TailorError for user
    errors.
    """
    recipe = load_recipe(recipe)
    with checkpoint.in_full(verify), checkpoint.accepting(recipe.allow_config):
        return _run(recipe, Path(out))


def dry_run(recipe: str | Path | Document | Recipe, out: str | Path, *, verify: bool = False) -> Outlook:
    """What `run` with the same arguments would do: its stages in order, which of them exist, and the time and
    disk space of the rest. Nothing is written. Raises what `run` raises before it starts, except for too
    little disk space.
    """
    recipe = load_recipe(recipe)
    with checkpoint.in_full(verify), checkpoint.accepting(recipe.allow_config):
        if recipe.sweep is not None:
            return sweep_outlook(recipe, Path(out))
        check(recipe)
        return outlook(Workload(recipe), course_of(recipe).steps, Path(out))


def _run(recipe: Recipe, out: Path) -> Results | SweepResults:
    if recipe.sweep is not None:
        return sweep(recipe, out)
    check(recipe)
    ahead = outlook(Workload(recipe), course_of(recipe).steps, out)
    start(ahead.line, ahead.need, ahead.there, out)
    with run_directory(out, recipe=recipe.model_dump(mode="json")):
        store = Store(out, check=unchanged(recipe), keep=recipe.keep == "all")
        results = tailor(recipe, store, pace=Pace.of(ahead.stages))
        checkpoint.write_json(out / "results.json", results.to_json())
        store.clear()
        report([out], out / "report.html")
    return results
