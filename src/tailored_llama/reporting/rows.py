"""The rows of a results.json, put in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tailored_llama.reporting.formatting import STAGES, quantity

Row = dict[str, Any]
WORDINGS = ("same", "harness")


@dataclass(frozen=True)
class Results:
    """A results.json, by wording and stage."""

    content: Mapping[str, Any]

    @cached_property
    def rows(self) -> list[Row]:
        """The rows that stand for a stage: of several adapters the one that takes each task from its own."""
        rows: list[Row] = self.content["rows"]
        together = {(row["stage"], row["prompt"]) for row in rows if row["task_tuned"] is None}
        return [
            row for row in rows
            if row["task_tuned"] is None or (row["stage"], row["prompt"]) not in together
        ]  # fmt: skip

    @property
    def wordings(self) -> list[str]:
        """`same` before `harness` before any other, as far as they were scored."""
        found = {row["prompt"] for row in self.rows}
        return [name for name in WORDINGS if name in found] + sorted(found - set(WORDINGS))

    def stages(self, wording: str | None = None) -> dict[str, Row]:
        """The rows of one wording (default: the first) by stage, in the order of STAGES."""
        wording = wording or self.wordings[0]
        rows = {row["stage"]: row for row in self.rows if row["prompt"] == wording}
        return {stage: rows[stage] for stage in STAGES if stage in rows}

    @property
    def tasks(self) -> list[str]:
        """Every task that was scored, in the order of the first row."""
        return list(dict.fromkeys(name for row in self.rows for name in row["tasks"]))

    def figures(self, task: str) -> dict[str, Any]:
        """The first row's figures of `task`: its chance and metric are the same in all."""
        return next(dict(row["tasks"][task]) for row in self.rows if task in row["tasks"])

    @property
    def quantity(self) -> str:
        """What the means are of: accuracy, or score where answers are written."""
        return quantity(self.rows)

    def written(self, wording: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Of each task whose answers are written: its first questions with what every stage wrote."""
        stages, found = self.stages(wording), {}
        for task in self.tasks:
            by_stage = {s: row["tasks"].get(task, {}).get("samples") for s, row in stages.items()}
            samples = {stage: told for stage, told in by_stage.items() if told}
            if samples:
                first = next(iter(samples.values()))
                found[task] = [
                    {**question, "answers": {s: told[place]["written"] for s, told in samples.items()}}
                    for place, question in enumerate(first)
                ]
        return found

    @property
    def corpora(self) -> list[str]:
        """Every text whose perplexity was measured."""
        return list(dict.fromkeys(name for row in self.rows for name in row.get("perplexity") or {}))

    @property
    def windows(self) -> str:
        """The tokens of the perplexity windows, in a sentence; nothing where none was measured."""
        found = {
            name: figures["length"]
            for row in self.rows for name, figures in (row.get("perplexity") or {}).items()
        }  # fmt: skip
        if not found:
            return ""
        lengths = list(dict.fromkeys(found.values()))
        told = [
            f"{n} ({', '.join(c for c in found if found[c] == n)})" if lengths[1:] else str(n)
            for n in lengths
        ]
        return f"Perplexity over windows of {' and '.join(told)} tokens."

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe."""
        return dict(self.content["recipe"])

    @property
    def of_the_world(self) -> bool:
        """Whether any task is one of the bundled micro-world's."""
        return any(name.startswith("world_") for name in self.tasks)
