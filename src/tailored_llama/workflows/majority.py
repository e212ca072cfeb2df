"""What always giving the commonest label of the shots scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean

from tailored_llama.data import load_task
from tailored_llama.data.shots import draw_shots
from tailored_llama.recipe import Recipe
from tailored_llama.results import Majority, MajorityFigures, TaskFigures
from tailored_llama.stages.evaluate.questions import scored_questions


def majority(recipe: Recipe, figures: Mapping[str, TaskFigures]) -> Majority:
    """The score of one constant answer on each task in `figures`, the scores of any model of the run.

    The answer is the commonest label of the task's shots; of several, the one that scores best, so that the
    baseline is never too low. Balanced shots have equally many of each label. A task whose options differ
    between questions has no fixed labels, and one that is not tuned has no shots: there it is chance. Raises
    what drawing the shots raises.
    """
    tuned = {load_task(name).name: name for name in recipe.tasks}
    tasks = {
        name: _figures(recipe, tuned[name], entry)
        if name in tuned
        else MajorityFigures(main=entry.chance, label=None, n=entry.n)
        for name, entry in figures.items()
    }
    return Majority(tasks=tasks, mean=fmean(entry.main for entry in tasks.values()))


def _figures(recipe: Recipe, name: str, scores: TaskFigures) -> MajorityFigures:
    task = load_task(name)
    data = recipe.data.get(task.name)
    rows = scored_questions(task, data, recipe.evaluate.split)[: recipe.evaluate.limit]
    shots = draw_shots(task, recipe.tune, seed=recipe.seed, data=data).rows
    options = {tuple(task.options_of(row)) for row in (*shots, *rows)}
    if task.kind != "choice" or len(options) > 1:
        return MajorityFigures(main=scores.chance, label=None, n=len(rows))
    counts = Counter(task.label(row) for row in shots)
    right = Counter(task.label(row) for row in rows)
    commonest = [label for label in sorted(counts) if counts[label] == max(counts.values())]
    best = max(commonest, key=lambda label: right[label])
    return MajorityFigures(main=right[best] / len(rows), label=options.pop()[best], n=len(rows))
