"""The outlook of a sweep: its cells, and for each the stages that no earlier cell has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.recipe import Recipe
from tailored_llama.stage import Survey
from tailored_llama.stage.inputs import digest_of
from tailored_llama.strict_json import Json
from tailored_llama.workflows.course import course_of
from tailored_llama.workflows.disk import PAGE, Need, bytes_of, size_of, teachers
from tailored_llama.workflows.outlook import (
    EXISTS,
    Outlook,
    Planned,
    planned,
    recorded,
    states,
    try_measure,
    unseen,
)
from tailored_llama.workflows.steps import SAME, Step
from tailored_llama.workflows.sweep.cells import Cell
from tailored_llama.workflows.sweep.check import check_sweep, is_finished
from tailored_llama.workflows.workload import Workload


@dataclass(frozen=True)
class CellOutlook:
    """A cell: whether it is finished, and the stages that no earlier cell has."""

    name: str
    finished: bool
    stages: Sequence[Planned]
    shared: int
    """The number of its stages that an earlier cell has."""

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        return {
            "name": self.name, "finished": self.finished, "stages": [one.to_json() for one in self.stages],
            "shared": self.shared,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SweepOutlook(Outlook):
    """All cells of a sweep in order, with every stage once, and the disk space needed."""

    cells: Sequence[CellOutlook]

    def listed(self) -> dict[str, Json]:
        """The list in the JSON output: the cells."""
        return {"cells": [cell.to_json() for cell in self.cells]}


def sweep_outlook(recipe: Recipe, out: Path) -> SweepOutlook:
    """The cells of `recipe` in `out`. Nothing is written. Raises what `sweep` raises before it starts."""
    cells = check_sweep(recipe, out)
    return outlook_of(cells, out)


def outlook_of(cells: Sequence[Cell], out: Path) -> SweepOutlook:
    """The outlook of checked cells. Two stages are equal if their settings and the stages that they read are
    equal. Stages whose equality is known only after they are computed count twice.
    """
    work = Workload(cells[0].recipe)
    seen: set[str] = set()
    speed, measured = None, False
    outlooks, kept, passing = [], 0, 0
    for cell in cells:
        work = Workload(cell.recipe, work)
        steps = course_of(cell.recipe, (SAME,), dense_tuned=cell.dense_tuned, tuned=cell.tuned).steps
        keys = _keys(steps)
        own = [step for step in steps if keys[step.name] not in seen]
        seen |= {keys[step.name] for step in own}
        home = out / "cells" / cell.name
        store = Survey(home, out / "stages")
        known = states(steps, store) if (out / "stages").is_dir() else unseen(steps)
        finished = all(state == EXISTS for state in known.values()) and is_finished(cell, out)
        if not measured and any(state != EXISTS for state in known.values()):
            speed, measured = try_measure(work), True
        took = recorded(known, store)
        every = {stage.name: stage for stage in planned(work, steps, known, took, speed)}
        stages = [every[step.name] for step in own]
        outlooks.append(CellOutlook(cell.name, finished, stages, len(steps) - len(own)))
        kept += sum(bytes_of(step, work) for step in own)
        # The teacher's distributions are shared too, and kept until the last cell is finished.
        passing += sum(teachers(work, own))
    need = Need(kept + PAGE, passing)
    stages = [stage for cell in outlooks for stage in cell.stages]
    return SweepOutlook(stages, need, size_of(out), checkpoint.free_bytes(out), cells=outlooks)


def _keys(steps: Sequence[Step]) -> dict[str, str]:
    """By step name, a digest of what determines the result: its settings and the stages that it reads."""
    keys: dict[str, str] = {}
    for step in steps:
        read = [keys[name] for name in step.needs]
        keys[step.name] = digest_of([step.kind, dict(step.settings), read])
    return keys
