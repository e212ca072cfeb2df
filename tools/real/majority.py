"""What always answering the commonest label of the shots scores: a floor that chance does not show."""

from __future__ import annotations

from collections import Counter

from tailored_llama.data import load_task
from tailored_llama.data.shots import draw_shots
from tailored_llama.recipe import Recipe


def majority(recipe: Recipe) -> dict[str, float]:
    """{task: the share of its scored questions whose right place is the one that most shots have}.

    The first rows up to `evaluate.limit`; of places that equally many shots have, the first.
    """
    found = {}
    for name in recipe.tasks:
        task = load_task(name)
        data = recipe.data.get(task.name)
        shots = draw_shots(task, recipe.tune, seed=recipe.seed, data=data).rows
        counts = Counter(sorted(task.label(row) for row in shots))
        label = counts.most_common(1)[0][0]
        rows = task.rows(recipe.evaluate.split, data)[: recipe.evaluate.limit]
        found[task.name] = sum(task.label(row) == label for row in rows) / len(rows)
    return found
