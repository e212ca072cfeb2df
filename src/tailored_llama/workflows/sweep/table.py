"""The table of a sweep: one entry per setting, with means over its seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.results import (
    STAGES,
    Estimate,
    Results,
    Row,
    Setting,
    StageName,
    StageSummary,
    read_results,
)
from tailored_llama.scoring.bootstrap import Draws, difference, mean_draws, ratio
from tailored_llama.workflows.sweep.cells import Cell, groups_of


def table(cells: Sequence[Cell], home: Path, finished: Collection[str]) -> list[Setting]:
    """An entry for every setting with at least one `finished` cell (by name) in `home`.

    `stages` has for each stage its `mean` accuracy over tasks, `recovery` (over the dense mean),
    `recovery_above_chance` and `of_dense_tuned` (over the mean of the dense model with the same tuning), each
    with its 95% interval; `versus_first` is the tuned mean minus that of the first setting, or of the first
    variant at the same values of all lists, on the seeds that both have and on the same questions (None
    without a common seed).
    """
    entries: list[Setting] = []
    firsts: dict[str, list[Cell]] = {}
    for group, members in groups_of(cells):
        done = [cell for cell in members if cell.name in finished]
        variant = members[0].chosen.get("variant")
        values = group.removeprefix(variant) if variant else ""
        first = firsts.setdefault(values, done)
        if done:
            entries.append(_entry(group, done, home, _versus(done, first, home)))
    return entries


def _versus(cells: Sequence[Cell], first: Sequence[Cell], home: Path) -> Estimate | None:
    common = {cell.seed for cell in cells} & {cell.seed for cell in first}
    if not common:
        return None
    pair = [[cell for cell in side if cell.seed in common] for side in (cells, first)]
    last = _stages(_results([*pair[0], *pair[1]], home))[-1]
    own, other = (_draws(last, _results(side, home), side, home) for side in pair)
    return _estimate(difference(own, other))


def _estimate(draws: Draws) -> Estimate:
    return Estimate(**draws.summary())


def _results(cells: Sequence[Cell], home: Path) -> list[Results]:
    paths = [home / cell.name / "results.json" for cell in cells]
    return [read_results(path, checkpoint.read_json(path)) for path in paths]


def _draws(stage: StageName, results: Sequence[Results], cells: Sequence[Cell], home: Path) -> Draws:
    return mean_draws(_answers(stage, [_row(content, stage) for content in results], cells, home))


def _entry(group: str, cells: Sequence[Cell], home: Path, versus: Estimate | None) -> Setting:
    results = _results(cells, home)
    stages = _stages(results)
    rows = {stage: [_row(content, stage) for content in results] for stage in stages}
    draws = {stage: _draws(stage, results, cells, home) for stage in stages}
    chance = rows["dense"][0].chance or 0.0
    first = rows["pruned"][0]
    return Setting(
        group=group, settings=cells[0].chosen, lists=list(cells[0].lists),
        cells=[cell.name for cell in cells], seeds=[cell.seed for cell in cells],
        tasks=list(first.tasks), chance=chance,
        params={"dense": rows["dense"][0].params, "pruned": fmean(r.params for r in rows["pruned"])},
        stages={
            stage: _figures(draws[stage], draws["dense"], draws.get("dense_tuned"), chance, rows[stage])
            for stage in stages
        },
        versus_first=versus,
    )  # fmt: skip


def _stages(results: Sequence[Results]) -> list[StageName]:
    """The stages that all results have. `dense_tuned` may have been added to the sweep later, and is then
    missing in some cells.
    """
    common = set.intersection(*({row.stage for row in content.rows} for content in results))
    return [stage for stage in STAGES if stage in common]


def _figures(
    own: Draws, dense: Draws, dense_tuned: Draws | None, chance: float, rows: list[Row]
) -> StageSummary:
    compared = {
        "recovery": ratio(own, dense),
        "recovery_above_chance": ratio(own, dense, chance),
        "of_dense_tuned": ratio(own, dense_tuned) if dense_tuned else None,
    }
    return StageSummary(
        mean=_estimate(own),
        **{name: _estimate(draws) if draws else None for name, draws in compared.items()},
        tasks={task: fmean(row.tasks[task].main for row in rows) for task in rows[0].tasks},
        perplexity={
            name: fmean(row.perplexity[name].perplexity for row in rows) for name in rows[0].perplexity
        },
        **_divergences(rows),
    )


def _divergences(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The mean divergence from the unpruned model on each text, if measured."""
    by_text = {name: [row.perplexity[name].kl for row in rows] for name in rows[0].perplexity}
    means = {
        name: fmean(v for v in values if v is not None)
        for name, values in by_text.items()
        if None not in values
    }
    return {"kl": means} if means else {}


def _row(results: Results, stage: StageName) -> Row:
    """The stage's row in the tuned wording; for several tuned tasks, the row that combines their adapters."""
    wanted = results.rows[0].prompt
    rows = [row for row in results.rows if row.stage == stage and row.prompt == wanted]
    return next((row for row in rows if row.task_tuned is None), rows[0])


def _answers(
    stage: StageName, rows: list[Row], cells: Sequence[Cell], home: Path
) -> dict[str, list[list[float]]]:
    """For each task and each cell, the score of every question (0 to 1)."""
    answers: dict[str, list[list[float]]] = {task: [] for task in rows[0].tasks}
    for row, cell in zip(rows, cells, strict=True):
        base = f"evaluate-{stage}-{row.prompt}"
        own: dict[str, list[float]] = {}
        for folder in (home / cell.name).glob(f"{base}*"):
            if folder.name == base or folder.name.startswith(f"{base}-"):
                right: Any = checkpoint.read_json(folder / "right.json")
                own |= right
        for task, values in answers.items():
            values.append(own[task])
    return answers
