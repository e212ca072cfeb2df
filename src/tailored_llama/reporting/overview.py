"""Comparison of several runs: one line and a few points per run, with measured speeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailored_llama.reporting.read import Run
from tailored_llama.results import MeasuredModel, Row, Speed

Way = tuple[str, str, int]
"""How speeds were measured: backend, precision, batch size. Only equal settings are comparable."""


@dataclass(frozen=True)
class Point:
    """One model of one run: its stage and row, and its speeds by measurement settings."""

    run: str
    stage: str
    row: Row
    left: float | None
    speeds: Mapping[Way, Speed]


@dataclass(frozen=True)
class Line:
    """One run in the table over all runs."""

    name: str
    anchor: str
    run: Run
    stages: Mapping[str, Row]
    speeds: Mapping[str, Mapping[Way, Speed]]

    @property
    def criterion(self) -> str:
        """The pruning criterion; empty without a cut."""
        pruning = self.run.results.section("prune")
        return str(pruning.get("criterion", "")) if self.run.plan is not None else ""

    @property
    def left(self) -> float | None:
        """Share of the dense model's parameters that the pruned one has."""
        if "pruned" not in self.stages or "dense" not in self.stages:
            return None
        return self.stages["pruned"].params / self.stages["dense"].params

    @property
    def best(self) -> Row | None:
        """The final model of the run: tuned, else healed, else pruned."""
        return next((self.stages[s] for s in ("tuned", "healed", "pruned") if s in self.stages), None)

    def speed_up(self, way: Way) -> float | None:
        """Decoding speed of the pruned model relative to the dense one, measured with the same settings."""
        pruned, dense = self.speeds.get("pruned", {}).get(way), self.speeds.get("dense", {}).get(way)
        if not (pruned and dense):
            return None
        return pruned.decode_tokens_per_second / dense.decode_tokens_per_second

    def points(self) -> list[Point]:
        """The run's models. A merged tuned model has the shape, and so the speed, of its base."""
        shapes = {stage: "dense" if stage in ("dense", "dense_tuned") else "pruned" for stage in self.stages}
        shares = {"dense": 1.0, "pruned": self.left}
        return [
            Point(self.name, stage, row, shares[shapes[stage]], self.speeds.get(shapes[stage], {}))
            for stage, row in self.stages.items()
        ]


def lines(runs: Sequence[tuple[str, str, Run]], measured: Sequence[MeasuredModel]) -> list[Line]:
    """A line for each (name, anchor, run). Speeds are assigned to models by the digest of their files."""
    by_model: dict[str, dict[Way, Speed]] = {}
    for model in measured:
        for speed in model.speeds:
            way = (speed.backend, speed.dtype, speed.batch)
            by_model.setdefault(str(model.digest), {})[way] = speed
    return [
        Line(
            name, anchor, run, run.results.stages(),
            {base: by_model.get(digest, {}) for base, digest in run.digests.items()},
        )
        for name, anchor, run in runs
    ]  # fmt: skip


def ways(lines: Sequence[Line]) -> list[Way]:
    """All measurement settings of pruned models."""
    return sorted({way for line in lines for way in line.speeds.get("pruned", {})})


def way_label(way: Way) -> str:
    """`llama.cpp f16, batch 4`."""
    backend, dtype, batch = way
    return f"{backend} {dtype}, batch {batch}"
