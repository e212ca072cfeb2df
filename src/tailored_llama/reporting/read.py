"""Reading of run directories: results, cuts and training records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from transformers import PreTrainedConfig

from tailored_llama import checkpoint
from tailored_llama.checkpoint.lineage import layers_before_and_after, local_config, what_was_cut
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.families import LayerWidths
from tailored_llama.reporting.layer_widths import residual_in_words
from tailored_llama.results import (
    Cut,
    MeasuredModel,
    Measurement,
    Results,
    ShotsRecord,
    TrainingStep,
    read_results,
)
from tailored_llama.stage.manifest import read_manifest

Base = Literal["pruned", "dense"]


@dataclass(frozen=True)
class Tuning:
    """One adapter: its base, and the records of its steps and shots."""

    base: Base
    task: str
    history: list[TrainingStep]
    shots: ShotsRecord

    def epoch_losses(self) -> list[float]:
        """Mean loss per answer token of each epoch, nats."""
        epochs: dict[int, list[float]] = {}
        for step in self.history:
            epochs.setdefault(step.epoch, []).append(step.loss)
        return [sum(losses) / len(losses) for losses in epochs.values()]


@dataclass(frozen=True)
class Run:
    """The content of one directory that `run` or `evaluate` wrote."""

    directory: Path
    results: Results
    plan: Cut | None
    tunings: list[Tuning]

    @cached_property
    def pruned_config(self) -> PreTrainedConfig | None:
        """The config of the pruned model."""
        return local_config(self.directory / "prune") if self.plan is not None else None

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of the dense and the pruned model's files, as recorded by the evaluations."""
        result: dict[str, str] = {}
        for base in ("dense", "pruned"):
            for path in sorted(self.directory.glob(f"evaluate-{base}-*/manifest.json")):
                with suppress(CheckpointError):
                    result.setdefault(base, read_manifest(path.parent).inputs.get("model", ""))
        return result

    @cached_property
    def widths(self) -> tuple[list[LayerWidths], list[LayerWidths]] | None:
        """Widths per layer, before and after; None if nothing was cut or the first are not known."""
        config = self.pruned_config
        return layers_before_and_after(self.plan, config) if self.plan is not None and config else None

    @property
    def residual(self) -> str:
        """The remaining residual channels as text; empty if none was removed."""
        config = self.pruned_config
        return residual_in_words(self.plan, config) if self.plan is not None and config else ""


def read_run(directory: str | Path) -> Run:
    """The run in `directory`; OutputError if there is none."""
    directory = Path(directory)
    path = directory / "results.json"
    if not path.is_file():
        raise OutputError(f"{directory} has no results.json; name a directory that run or evaluate wrote")
    results = read_results(path, checkpoint.read_json(path))
    return Run(
        directory=directory,
        results=results,
        plan=what_was_cut(directory / "prune"),
        tunings=_tunings(directory, results.tasks),
    )


def _tunings(directory: Path, tasks: Sequence[str]) -> list[Tuning]:
    """The run's adapters, in the order of `tasks`."""
    result = []
    for folder in directory.glob("tune-*"):
        if not (folder / ShotsRecord.file).is_file():
            continue
        shots = checkpoint.read_record(ShotsRecord, folder / ShotsRecord.file)
        history = checkpoint.read_records(TrainingStep, folder / TrainingStep.file)
        base: Base = "dense" if folder.name.startswith("tune-dense-") else "pruned"
        result.append(Tuning(base, shots.task, history, shots))
    order = {task: place for place, task in enumerate(tasks)}
    return sorted(result, key=lambda tuning: (order.get(tuning.task, len(order)), tuning.base))


def read_all(directories: Sequence[str | Path]) -> tuple[list[Run], list[MeasuredModel]]:
    """All runs and all models that were measured, in order; OutputError if there is no run.

    A directory holds a run, or what `tailor measure --out` wrote.
    """
    places = [Path(directory) for directory in directories]
    measured = [place for place in places if (place / Measurement.file).is_file()]
    runs = [read_run(place) for place in places if place not in measured]
    if not runs:
        raise OutputError("no run directory to report on; name at least one")
    read = [checkpoint.read_record(Measurement, place / Measurement.file) for place in measured]
    models = [model for measurement in read for model in measurement.models]
    return runs, models
