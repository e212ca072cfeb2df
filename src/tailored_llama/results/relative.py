"""Figures relative to other rows: recovery, shares above chance, and one row out of several adapters'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tailored_llama.results.rows import SCHEMA, Majority, Results, Row, WithoutTasks
from tailored_llama.strict_json import Json


def results_of(
    rows: Sequence[Row],
    recipe: Mapping[str, Json],
    versions: Mapping[str, str],
    *,
    relative: bool = True,
    majority: Majority | None = None,
) -> Results:
    """The content of a results.json; with `relative`, rows get figures relative to the dense model, and to
    the tuned dense model, in their wording.
    """
    if relative:
        dense = {row.prompt: row for row in rows if row.stage == "dense"}
        # Of several adapters, the row that takes each task from its own comes last.
        dense_tuned = {row.prompt: row for row in rows if row.stage == "dense_tuned"}
        rows = [
            row.model_copy(
                update={
                    **recovery(row, dense[row.prompt]),
                    **fairly(row, dense[row.prompt], dense_tuned.get(row.prompt)),
                }
            )
            for row in rows
        ]
    known = {} if majority is None else {"majority": majority}
    return Results(
        schema_version=SCHEMA, rows=list(rows), recipe=dict(recipe), versions=dict(versions), **known
    )


def combine(rows: Sequence[Row]) -> Row:
    """Combine the rows of several adapters of one base: each task is taken from its own adapter.

    Sizes are those of the shared base, seconds are summed, memory is the maximum, and a perplexity is the
    mean over the adapters.
    """
    tasks = {name: figures for row in rows for name, figures in row.tasks.items()}
    corpora = rows[0].perplexity
    gpu = [row.peak_gpu_memory for row in rows if row.peak_gpu_memory is not None]
    return rows[0].model_copy(
        update={
            "task_tuned": None,
            "tasks": tasks,
            "mean": mean(figures.main for figures in tasks.values()),
            "chance": mean(figures.chance for figures in tasks.values()),
            "perplexity": {
                name: corpora[name].model_copy(
                    update={"perplexity": mean(row.perplexity[name].perplexity for row in rows)}
                )
                for name in corpora
            },
            "seconds": sum(row.seconds for row in rows),
            "peak_memory": max(row.peak_memory for row in rows),
            **({"peak_gpu_memory": max(gpu)} if gpu else {}),
        }
    )


def recovery(row: Row, dense: Row) -> dict[str, float | None]:
    """`recovery` = mean / dense mean; `recovery_above_chance` = (mean - chance) / (dense mean - chance).

    Both are over the row's tasks. The second is None if the dense model is at chance.
    """
    assert row.mean is not None
    assert row.chance is not None
    reference = mean(dense.tasks[name].main for name in row.tasks)
    above = reference - row.chance
    return {
        "recovery": row.mean / reference if reference else None,
        "recovery_above_chance": (row.mean - row.chance) / above if above > 0 else None,
    }


def fairly(row: Row, dense: Row, dense_tuned: Row | None) -> dict[str, float | WithoutTasks]:
    """`above_chance_of_dense_tuned` and `without_below_chance` of a row, each only where it is defined."""
    assert row.mean is not None
    assert row.chance is not None
    figures: dict[str, float | WithoutTasks] = {}
    if dense_tuned is not None and row.tasks.keys() <= dense_tuned.tasks.keys():
        above = mean(dense_tuned.tasks[name].main for name in row.tasks) - row.chance
        if above > 0:
            figures["above_chance_of_dense_tuned"] = (row.mean - row.chance) / above
    below = [name for name in row.tasks if dense.tasks[name].main < dense.tasks[name].chance]
    if below:
        figures["without_below_chance"] = _without(row, dense, below)
    return figures


def _without(row: Row, dense: Row, dropped: Sequence[str]) -> WithoutTasks:
    tasks = {name: figures for name, figures in row.tasks.items() if name not in dropped}
    if not tasks:
        return WithoutTasks(
            tasks=list(dropped), mean=None, chance=None, recovery=None, recovery_above_chance=None
        )
    means = {
        "mean": mean(figures.main for figures in tasks.values()),
        "chance": mean(figures.chance for figures in tasks.values()),
    }
    rest = row.model_copy(update={"tasks": tasks, **means})
    return WithoutTasks(tasks=list(dropped), **means, **recovery(rest, dense))


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)
