"""The fields of a stage's settings as typed keywords, for `**overrides: Unpack[...]`.

Each has the names of the fields in pruning.py, training.py, schema.py or measuring.py (a test compares them)
and, as types, what validation accepts: lists for tuples, mappings for parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from tailored_llama.recipe.base import Precision, Projection
from tailored_llama.recipe.pruning import Calibration, Reduce, Unit
from tailored_llama.recipe.training import Distill, EarlyStop, HealLora, HealText, Lora, Replay


class CalibrationKeys(TypedDict, total=False):
    """Of `Calibration`."""

    source: str
    samples: int
    length: int


class LoraKeys(TypedDict, total=False):
    """Of `Lora` and `HealLora`."""

    r: int
    alpha: float
    dropout: float
    targets: Sequence[Projection]
    dora: bool
    rslora: bool


class DistillKeys(TypedDict, total=False):
    """Of `Distill`."""

    texts: int
    length: int
    top_k: int


class ReplayKeys(TypedDict, total=False):
    """Of `Replay`."""

    source: str
    share: float
    length: int


class EarlyStopKeys(TypedDict, total=False):
    """Of `EarlyStop`."""

    share: float
    patience: int


class HealTextKeys(TypedDict, total=False):
    """Of `HealText`."""

    source: str
    pieces: int
    length: int


class PruneKeys(TypedDict, total=False):
    """Of `Prune`."""

    ratio: float
    of: Literal["params", "macs", "bytes", "units"]
    units: Sequence[Unit]
    layers: Sequence[int] | None
    criterion: str
    objective: Literal["lm", "margin"]
    reduce: Reduce
    allocate: Literal["uniform", "global"]
    normalise: Literal["auto", "none", "kind", "block"]
    steps: int
    trajectory: Sequence[float]
    align: int
    floor: float
    alike: bool
    reconstruct: bool
    precision: Precision
    calibration: Calibration | CalibrationKeys


class HealKeys(TypedDict, total=False):
    """Of `Heal`."""

    rounds: int
    texts: int
    text: HealText | HealTextKeys | None
    length: int
    top_k: int
    lora: HealLora | LoraKeys | None
    epochs: int
    learning_rate: float
    warmup: float
    batch_size: int
    micro_tokens: int
    activation_checkpointing: bool
    precision: Literal["auto", "fp32", "bf16"]


class TuneKeys(TypedDict, total=False):
    """Of `Tune`."""

    shots: int
    select: Literal["balanced", "diverse"]
    overlap: Literal["drop", "refuse"]
    reserve: bool
    prompt: str
    auto: Literal["untuned", "tuned"]
    loss: str | Sequence[str] | Mapping[str, float]
    distill: Distill | DistillKeys
    replay: Replay | ReplayKeys | None
    early_stop: EarlyStop | EarlyStopKeys | None
    lora: Lora | LoraKeys
    epochs: int
    learning_rate: float
    warmup: float
    batch_size: int
    micro_tokens: int
    activation_checkpointing: bool
    precision: Literal["auto", "fp32", "bf16"]


class EvaluateKeys(TypedDict, total=False):
    """The fields of `Evaluate`, except `tasks`, which is a separate argument."""

    prompt: str | None
    perplexity: Sequence[str | Path]
    length: int
    limit: int | None
    fewshot: int
    batch_size: Literal["auto"] | int
    split: Literal["scored", "validation", "train"]
    windows: int | None
    kl: bool
    batch_calibration: bool
    precision: Literal["stored", "fp32"]


class MeasureKeys(TypedDict, total=False):
    """Of `Measure`."""

    length: int
    new: int
    batches: Sequence[int]
    backends: Sequence[str]
    dtype: str
    repeats: int
    device: str
    threads: int | None
    config_only: bool
