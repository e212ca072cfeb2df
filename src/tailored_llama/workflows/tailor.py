"""Completes the stages of one run, in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from tailored_llama.recipe import Recipe
from tailored_llama.results import Results
from tailored_llama.stage import Store
from tailored_llama.workflows.course import course_of, results_from
from tailored_llama.workflows.outlook import Pace
from tailored_llama.workflows.steps import HARNESS, SAME, Made, Step


def tailor(
    recipe: Recipe,
    store: Store,
    scored: Sequence[str] = (SAME, HARNESS),
    *,
    dense_tuned: bool = True,
    tuned: bool = True,
    pace: Pace | None = None,
) -> Results:
    """Complete the stages of a run of `recipe` (see `course_of`); returns the contents of `results.json`.

    With `pace`, each stage is logged with the remaining time.
    """
    course, made = course_of(recipe, scored, dense_tuned=dense_tuned, tuned=tuned), Made()
    complete_all(course.cuts, made, store, pace)
    store.release()
    complete_all(course.tunings, made, store, pace)
    store.release(everything=True)  # not before: both tunings of a task use the same teacher distributions
    complete_all(course.scored, made, store, pace)
    complete_all(course.exports, made, store, pace)
    return results_from(recipe, course, made)


def complete_all(steps: Sequence[Step], made: Made, store: Store, pace: Pace | None = None) -> None:
    """Complete each of `steps` in `store`, and record the results in `made`."""
    for step in steps:
        with pace.part(step.name) if pace else nullcontext():
            made.add(step.name, step.complete(made, store.slot(step.name)))
