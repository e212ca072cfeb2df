"""The rows below a table of accuracies: means, shares of the dense model, and the baseline beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tailored_llama.reporting.formatting import LABELS, bare, short
from tailored_llama.results import Results, Row

STARRED = "*"
UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True)
class Total:
    """One row: its title, the cells of chance and majority, and a cell for each stage."""

    title: str
    chance: str
    majority: str
    stages: list[str]


def totals(results: Results, wording: str, share: Callable[[float | None], str] = bare) -> list[Total]:
    """The rows below the tasks in one wording, in percent; `share` formats shares of the dense model. A star
    marks what leaves tasks out (`left_out`).
    """
    stages = results.stages(wording)
    first = next(iter(stages.values()))
    base = results.majority.mean_of(first.tasks) if results.majority else None
    found = [Total("mean", bare(first.chance), bare(base), [bare(row.mean) for row in stages.values()])]
    if without_calibration(results, wording):
        means = [bare(_uncalibrated_mean(row)) for row in stages.values()]
        found.append(Total(f"mean, {UNCALIBRATED}", "", "", means))
    if len(stages) == 1:
        return found
    dense, tuned = stages.get("dense"), stages.get("dense_tuned")

    def row(title: str, floor: float | None, value: Callable[[Row], float | None]) -> None:
        found.append(Total(title, "", share(floor), [share(value(stage)) for stage in stages.values()]))

    row("recovery", _share(base, 0.0, dense), lambda stage: stage.recovery)
    row("above chance", _share(base, first.chance, dense), lambda stage: stage.recovery_above_chance)
    if any(stage.above_chance_of_dense_tuned is not None for stage in stages.values()):
        floor = _share(
            base, first.chance, tuned if tuned and tuned.tasks.keys() == first.tasks.keys() else None
        )
        title = f"above chance,\nof {LABELS['dense_tuned']}"
        row(title, floor, lambda stage: stage.above_chance_of_dense_tuned)
    rest = first.without_below_chance
    if rest:
        kept = [name for name in first.tasks if name not in rest.tasks]
        base = results.majority.mean_of(kept) if results.majority else None
        others = [stage.without_below_chance for stage in stages.values()]
        cells = [bare(entry.mean if entry else None) for entry in others]
        found.append(Total(f"mean{STARRED}", bare(rest.chance), bare(base), cells))
        floor = base / rest.mean if base is not None and rest.mean else None
        shares = [share(entry.recovery if entry else None) for entry in others]
        found.append(Total(f"recovery{STARRED}", "", share(floor), shares))
    return found


def _share(value: float | None, chance: float | None, of: Row | None) -> float | None:
    """The share of a row's mean above `chance` that `value` has."""
    if value is None or chance is None or of is None or of.mean is None or of.mean <= chance:
        return None
    return (value - chance) / (of.mean - chance)


def _uncalibrated_mean(row: Row) -> float:
    scores = [
        entry.main if entry.uncalibrated is None else entry.uncalibrated for entry in row.tasks.values()
    ]
    return sum(scores) / len(scores)


def without_calibration(results: Results, wording: str) -> dict[str, list[float | None]]:
    """For each task with batch calibration what each stage scores without it."""
    stages = results.stages(wording)
    scores = {
        task: [row.tasks[task].uncalibrated if task in row.tasks else None for row in stages.values()]
        for task in results.tasks
    }
    return {task: own for task, own in scores.items() if any(value is not None for value in own)}


def calibration_note(tasks: Iterable[str]) -> str:
    """A sentence about the tasks with batch calibration; empty if there are none."""
    names = ", ".join(map(short, tasks))
    return f"Batch calibration by the scored questions: {names}." if names else ""


def shows_majority(results: Results, tasks: Iterable[str]) -> bool:
    """Whether the baseline differs from chance on any of `tasks` because it has a label there."""
    known = results.majority.tasks if results.majority else {}
    return any(name in known and known[name].label is not None for name in tasks)


def majority_note(results: Results, tasks: Iterable[str]) -> str:
    """A sentence about the baseline; empty for results without one."""
    if results.majority is None:
        return ""
    known = {name: entry for name, entry in results.majority.tasks.items() if name in set(tasks)}
    labels = [f"{short(name)} “{entry.label}”" for name, entry in known.items() if entry.label is not None]
    if not labels:
        return "No task has fixed labels, so always answering the commonest label is chance."
    rest = "; chance for tasks without fixed labels" if len(labels) < len(known) else ""
    return f"Majority: the commonest label of the shots as every answer ({', '.join(labels)}){rest}."


def left_out(stages: Mapping[str, Row]) -> str:
    """A sentence about the tasks that starred rows leave out; empty if there are none."""
    first = next(iter(stages.values()))
    if len(stages) == 1 or first.without_below_chance is None:
        return ""
    names = ", ".join(short(name) for name in first.without_below_chance.tasks)
    return f"{STARRED} Without tasks on which the dense model is below chance: {names}."
