"""`sweep.json` and `matrix.json`: results over several runs or adapters."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from tailored_llama.results.records import Record
from tailored_llama.results.rows import STAGES, StageName, TaskFigures


class Estimate(Record):
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


class StageSummary(Record):
    """One stage of one setting of a sweep: means over its seeds."""

    mean: Estimate
    recovery: Estimate | None
    recovery_above_chance: Estimate | None
    of_dense_tuned: Estimate | None = Field(description="Relative to the dense model with the same tuning.")
    tasks: dict[str, float]
    perplexity: dict[str, float]
    kl: dict[str, float] | None = Field(
        None, description="Mean divergence from the unpruned model's predictions, in nats a token, by text."
    )


class Setting(Record):
    """One setting of a sweep, over its seeds."""

    group: str
    settings: dict[str, JsonValue] = Field(description="The swept keys and their values.")
    lists: list[str]
    cells: list[str]
    seeds: list[int]
    tasks: list[str]
    chance: float
    params: dict[str, float]
    stages: dict[StageName, StageSummary]
    versus_first: Estimate | None = Field(
        None, description="Mean of the last stage minus that of the first setting."
    )

    @property
    def last(self) -> StageSummary:
        """The stage that the setting is compared by: `tuned`, unless the sweep tunes nothing."""
        return self.stages[max(self.stages, key=STAGES.index)]


class CellState(Record):
    """One run of a sweep."""

    name: str
    seed: int
    chosen: dict[str, JsonValue]
    finished: bool


class SweepResults(Record):
    """The content of a sweep.json."""

    file: ClassVar[str] = "sweep.json"

    settings: list[Setting]
    cells: list[CellState] = Field(default_factory=list)
    failed: dict[str, str] = Field(description="Errors of failed cells, by name.")
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class MatrixResults(Record):
    """The content of a matrix.json: tuned on each task (rows), tested on every task (columns)."""

    file: ClassVar[str] = "matrix.json"

    columns: list[str]
    tuned_in: dict[str, str] = Field(description="The wording of each row.")
    cells: dict[str, dict[str, TaskFigures]]
    means: dict[str, float]
    diagonal: float | None = Field(description="Mean of the cells of a task's own adapter.")
    beside: float | None = Field(description="Mean of the other cells in rows that were tuned on a task.")
    general: dict[str, JsonValue] = Field(description="The source and number of the general instructions.")
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
