"""`measure.json`: sizes and speeds of models, measured beside each other."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tailored_llama.results.records import Record


class SpeedRatios(Record):
    """A speed relative to the first model's."""

    first_token_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    peak_memory: float


class Speed(Record):
    """One model in one backend at one batch size: medians over the repeats."""

    backend: str
    dtype: str
    batch: int = Field(description="Prompts at once.")
    device: str
    first_token_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float = Field(description="Of all rows together, after the first token.")
    peak_memory: int = Field(description="Bytes of the process.")
    ratios: SpeedRatios | None = None


class SizeRatios(Record):
    """Sizes relative to the first model's."""

    params: float
    macs: float
    weights_bytes: float


class MeasuredModel(Record):
    """One model of a measure.json."""

    model: str
    digest: str | None = Field(description="sha256 of its directory; null from a config alone.")
    family: str
    params: int
    macs: int = Field(description="Multiply-accumulates of one sequence of `length` tokens.")
    weights_bytes: int
    speeds: list[Speed] = Field(default_factory=list)
    ratios: SizeRatios | None = None


class MeasureSettings(Record):
    """How it was measured."""

    models: list[str]
    length: int
    new: int
    batches: list[int]
    backends: list[str]
    dtype: str
    repeats: int
    device: str = "auto"
    threads: int | None
    config_only: bool


class Measurement(Record):
    """The whole of a measure.json."""

    file: ClassVar[str] = "measure.json"

    models: list[MeasuredModel] = Field(min_length=1)
    settings: MeasureSettings
    versions: dict[str, str]
