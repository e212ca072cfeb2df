"""What tuning and healing record: `shots.json`, `history.jsonl`, `texts.json`, and the ranking of prompts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tailored_llama.results.records import Record, SideFile

Interval = tuple[float, float]
"""Covers 95%: low, high."""


class Effectiveness(SideFile):
    """How well a model answers in one wording, before any tuning.

    `accuracy` and the mean `margin` of the right choice's probability over the best other, with intervals
    that cover 95%; `first` is the share of draws in which this wording was the best.
    """

    prompt: str
    accuracy: float
    margin: float
    accuracy_interval: Interval
    margin_interval: Interval
    first: float


class Specificity(Record):
    """Mean gains in margin on the `own` task and the `others`, their difference, and its 95% interval."""

    prompt: str
    own: float
    others: float
    specificity: float
    specificity_interval: Interval


class PromptRanking(Record):
    """What `tailor prompts rank` prints: the wordings of a task, the most effective first."""

    task: str
    compared: Literal["untuned", "tuned"]
    wordings: list[Effectiveness] = Field(min_length=1)
    held_out: float = Field(description="Accuracy of the best wording of a draw on the shots outside it.")
    specificity: list[Specificity]


class ShotExample(SideFile):
    """One shot as the model read it."""

    context: str
    answer: str


class ShotsRecord(SideFile):
    """The whole of a shots.json: the rows that were drawn, and the wording that was chosen."""

    file: ClassVar[str] = "shots.json"

    task: str
    prompt: str
    asked: str = Field("", description="The prompt of the recipe.")
    wordings: list[str] = Field(
        default_factory=list, description="The prompts that were trained in turn; empty: `prompt` alone."
    )
    compared: Literal["untuned", "tuned"] | None = None
    candidates: list[Effectiveness] = Field(default_factory=list)
    held_out: float | None = None
    seed: int | None = None
    split: str = "train"
    select: str = "balanced"
    rows: list[int]
    labels: list[int] = Field(default_factory=list)
    unseen_labels: list[str] = Field(default_factory=list)
    in_scored_split: int = Field(0, description="Training rows left out, being also in the scored split.")
    example: ShotExample | None = None
    cut: int = Field(0, description="Shots whose prompt was cut on the left to fit.")


class TrainingStep(SideFile):
    """A line of history.jsonl: one step of the optimizer."""

    file: ClassVar[str] = "history.jsonl"

    step: int
    epoch: int
    loss: float = Field(description="Nats; where there are several losses their weighted sum.")
    lr: float
    tokens: int = Field(description="Read, padding not counted.")
    seconds: float = Field(description="Since the start.")
    parts: dict[str, float] | None = Field(None, description="Of several losses each one's mean.")
    held_out: float | None = Field(None, description="Loss on held-out shots, at the end of an epoch.")


class HealingTexts(SideFile):
    """The whole of a texts.json: the text that the teacher generated."""

    file: ClassVar[str] = "texts.json"

    round: int
    tasks: list[str]
    prompts: int
    texts: int
    pieces: int = Field(0, description="Pieces of general text.")
    tokens: int
    examples: list[str]
