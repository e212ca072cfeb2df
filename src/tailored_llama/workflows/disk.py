"""Estimate of the disk space that a run needs, per stage; accurate to about a third."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.data import load_task
from tailored_llama.families import projections
from tailored_llama.scoring import embedding_rows
from tailored_llama.training.generation import prompts_of
from tailored_llama.training.teacher import bytes_a_place
from tailored_llama.workflows.steps import Step
from tailored_llama.workflows.workload import ENDED, PROMPT, Workload

RECORD = 2_000
"""Bytes of the small files of a stage: its manifest, settings, figures."""
ANSWER, STEP, ENTRY = 3, 130, 150
"""Bytes of a scored answer, of a training step's record, of a tensor's entry in a file header."""
PAGE, ROW, CARD = 60_000, 1_500, 30_000
"""Bytes of the report, of a row of its figures, of a model card with its figure."""


@dataclass(frozen=True)
class Need:
    """Bytes that remain after the run, and temporary ones: the larger of the teacher files for healing and
    tuning.
    """

    stays: int
    passing: int

    @property
    def peak(self) -> int:
        """Bytes at the peak."""
        return self.stays + self.passing


def needed(work: Workload, steps: Sequence[Step]) -> Need:
    """Disk space of a run of `steps`."""
    stays = PAGE + sum(bytes_of(step, work) for step in steps)
    parts = teachers(work, steps)
    if work.recipe.keep == "all":
        return Need(stays + sum(parts), 0)
    return Need(stays, max(parts, default=0))


def teachers(work: Workload, steps: Sequence[Step]) -> list[int]:
    """Bytes of the teacher's distributions, for each kind of stage that keeps them until it is complete."""
    kinds = {step.kind for step in steps}
    sizes = {"heal": _heal_teacher, "tune": _tune_teachers}
    return [size(work) for kind, size in sizes.items() if kind in kinds]


def bytes_of(step: Step, work: Workload) -> int:
    """Bytes of the result of one stage."""
    recipe, share = work.recipe, work.share(step.cuts)
    tune, heal = recipe.tune, recipe.heal
    if step.kind == "prune":
        return _checkpoint(work, work.share(step.cuts + 1))
    if step.kind == "heal":
        assert heal
        sequences = heal.texts + (heal.text.pieces if heal.text else 0)
        return _checkpoint(work, share) + STEP * heal.epochs * ceil(sequences / heal.batch_size)
    if step.kind == "tune":
        steps = tune.epochs * ceil(tune.shots / tune.batch_size)
        return _adapter(work, share) + STEP * steps + 2 * RECORD
    if step.kind == "export":
        return CARD + _checkpoint(work, share)
    answers = sum(work.questions(load_task(name)) for name in step.tasks)
    return ANSWER * answers + 2 * RECORD + ROW


def size_of(directory: Path) -> int:
    """Bytes of the files in `directory`; symbolic links are not followed."""
    files = directory.rglob("*") if directory.is_dir() else ()
    return sum(path.lstat().st_size for path in files if path.is_file() and not path.is_symlink())


def _checkpoint(work: Workload, share: float) -> int:
    weights = share * work.total + ENTRY * len(work.bytes)
    return int(weights) + checkpoint.extra_bytes(work.dense) + 2 * RECORD


def _adapter(work: Workload, share: float) -> int:
    """Bytes of an fp32 adapter on a model with `share` of the dense size: a matrix shrinks on one side."""
    lora = work.recipe.tune.lora
    there = projections(work.weights.config.model_type)
    modules = {there[target] for target in lora.targets if target in there}
    total = 0.0
    for name in work.bytes:
        if len(parts := name.split(".")) > 2 and parts[-2] in modules and parts[-1] == "weight":
            sides = sum(work.weights.shape(name))
            total += 4 * lora.r * sides * (1 + share) / 2 + 2 * ENTRY
    return int(total)


def _heal_teacher(work: Workload) -> int:
    heal = work.recipe.heal
    if heal is None:
        return 0
    lengths = [
        len(prompt)
        for task in work.tasks
        for shots in work.shots(task, every=False)
        for prompt in prompts_of(shots)
    ]
    tokens = ENDED * heal.texts * (heal.length + PROMPT * sum(lengths) / len(lengths) - 1)
    general = heal.text.pieces * heal.text.length if heal.text else 0
    return int((tokens + general) * bytes_a_place(embedding_rows(work.weights.config), heal.top_k))


def _tune_teachers(work: Workload) -> int:
    """Bytes for all tasks: the files are kept until both tunings of each task are complete."""
    tune = work.recipe.tune
    if not work.needs_teacher:
        return 0
    total = 0.0
    for task in work.tasks:
        wordings = work.shots(task, every=True)
        reads = [shot.reads for shots in wordings for shot in shots]
        total += work.turns(task) * tune.shots * sum(reads) / len(reads)
        if tune.distill.texts:
            prompts = [prompt for shots in wordings for prompt in prompts_of(shots)]
            mean = sum(map(len, prompts)) / len(prompts)
            total += ENDED * tune.distill.texts * (tune.distill.length + PROMPT * mean - 1)
    return int(total * bytes_a_place(embedding_rows(work.weights.config), tune.distill.top_k))
