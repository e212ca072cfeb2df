"""`results.json`: typed rows of figures, the order of stages, and relative figures.

One model reads and writes the file. `row["mean"]` equals `row.mean`, for code that treats rows as JSON
objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

from pydantic import Field, JsonValue

from tailored_llama.results.records import Record, parse
from tailored_llama.strict_json import Json

StageName = Literal["dense", "dense_tuned", "pruned", "healed", "tuned"]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""In the order in which they are read; a run without healing has no `healed`."""
WORDINGS = ("same", "harness")
SCHEMA = 2
"""The version of the file. Version 0.1 of this package wrote no number."""
log = logging.getLogger(__name__)


class Sample(Record):
    """A question of a generation task, with the generated answer and one correct text."""

    context: str
    written: str
    right: str


class WrittenAnswers(Record):
    """A question whose answer is written, with what the model of each stage wrote."""

    context: str
    right: str
    answers: dict[str, str]


class TaskFigures(Record):
    """The scores of one model on one task. Metrics are between 0 and 1."""

    acc: float | None = None
    acc_norm: float | None = Field(None, description="Log-likelihoods divided by the answers' characters.")
    exact: float | None = Field(None, description="Generated answers: equal except for outer white space.")
    exact_match: float | None = Field(
        None, description="Generated answers: equal after SQuAD's normalisation."
    )
    f1: float | None = Field(None, description="Generated answers: F1 of normalised words.")
    rougeL: float | None = Field(  # noqa: N815 (the metric's name)
        None, description="Generated answers: ROUGE-L."
    )
    main: float = Field(description="The value of the task's main metric.")
    metric: str = Field("acc", description="The name of the main metric.")
    stderr: float | None = Field(description="Standard error of `main`; null with one question.")
    chance: float = Field(description="The expected score of random guessing.")
    n: int = Field(description="Questions.")
    cut: int = Field(description="Number of questions whose prompt was truncated on the left.")
    unended: int | None = Field(None, description="Number of generated answers that reached the token limit.")
    prompt: str = Field("", description="The wording.")
    samples: list[Sample] | None = Field(None, description="The first generated answers.")


class CorpusFigures(Record):
    """Perplexity of one text, over windows that do not overlap."""

    perplexity: float
    tokens: int | None = None
    windows: int | None = None
    length: int = Field(description="Tokens of a window.")
    kl: float | None = Field(
        None, description="Mean divergence from the unpruned model's predictions, in nats a token."
    )


class Row(Record):
    """One model on a set of tasks in one wording."""

    stage: StageName
    task_tuned: str | None = Field(None, description="The task of the model's adapter, if it has one.")
    params: int
    macs: int = Field(description="Multiply-accumulates of one sequence of 64 tokens.")
    tasks: dict[str, TaskFigures]
    prompt: str = Field(description="`same`: the wording used for tuning; `harness`: lm_eval's.")
    mean: float | None = Field(description="Mean of the tasks' main metric; null without tasks.")
    chance: float | None = Field(description="Mean of the tasks' chance.")
    perplexity: dict[str, CorpusFigures]
    seconds: float = Field(description="Of scoring.")
    peak_memory: int = Field(description="Peak resident memory of the process, in bytes.")
    peak_gpu_memory: int | None = Field(
        None, description="Peak memory allocated on the GPU, in bytes, if one was used."
    )
    recovery: float | None = Field(None, description="mean / dense mean, on the same tasks and prompts.")
    recovery_above_chance: float | None = Field(
        None, description="(mean - chance) / (dense mean - chance); null for a dense model at chance."
    )


class Results(Record):
    """The content of a results.json, with views for tables and pages."""

    file: ClassVar[str] = "results.json"
    schema_version: int = Field(1, alias="schema")
    rows: list[Row] = Field(min_length=1)
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def main_rows(self) -> list[Row]:
        """One row per stage; with several adapters, the combined row that scores each task by its own
        adapter.
        """
        together = {(row.stage, row.prompt) for row in self.rows if row.task_tuned is None}
        return [row for row in self.rows if row.task_tuned is None or (row.stage, row.prompt) not in together]

    def section(self, name: str) -> dict[str, JsonValue]:
        """A section of the recipe; empty where it has none."""
        section = self.recipe.get(name)
        return section if isinstance(section, dict) else {}

    @property
    def wordings(self) -> list[str]:
        """The wordings that were scored: `same`, `harness`, then others."""
        available = {row.prompt for row in self.main_rows}
        return [name for name in WORDINGS if name in available] + sorted(available - set(WORDINGS))

    def stages(self, wording: str | None = None) -> dict[str, Row]:
        """The rows of one wording (default: the first) by stage, in the order of STAGES."""
        wording = wording or self.wordings[0]
        rows = {row.stage: row for row in self.main_rows if row.prompt == wording}
        return {stage: rows[stage] for stage in STAGES if stage in rows}

    @property
    def tasks(self) -> list[str]:
        """All scored tasks, in the order of the first row."""
        return list(dict.fromkeys(name for row in self.main_rows for name in row.tasks))

    def figures(self, task: str) -> TaskFigures:
        """The first row's figures of `task`; chance and metric are the same in all rows."""
        return next(row.tasks[task] for row in self.main_rows if task in row.tasks)

    @property
    def corpora(self) -> list[str]:
        """All texts whose perplexity was measured."""
        return list(dict.fromkeys(name for row in self.main_rows for name in row.perplexity))

    def written(self, wording: str | None = None) -> dict[str, list[WrittenAnswers]]:
        """For each generation task its first questions, with the answers of every stage."""
        stages, result = self.stages(wording), dict[str, list[WrittenAnswers]]()
        for task in self.tasks:
            samples = {
                stage: row.tasks[task].samples
                for stage, row in stages.items()
                if task in row.tasks and row.tasks[task].samples
            }
            first = next(iter(samples.values()), None)
            if first:
                result[task] = [
                    WrittenAnswers(
                        context=question.context, right=question.right,
                        answers={stage: texts[place].written for stage, texts in samples.items() if texts},
                    )
                    for place, question in enumerate(first)
                ]  # fmt: skip
        return result

    @property
    def of_the_world(self) -> bool:
        """Whether any task is one of the bundled micro-world."""
        return any(name.startswith("world_") for name in self.tasks)


def results_of(
    rows: Sequence[Row], recipe: Mapping[str, Json], versions: Mapping[str, str], *, relative: bool = True
) -> Results:
    """The content of a results.json; with `relative`, rows get figures relative to the dense model in their
    wording.
    """
    if relative:
        dense = {row.prompt: row for row in rows if row.stage == "dense"}
        rows = [row.model_copy(update=recovery(row, dense[row.prompt])) for row in rows]
    return Results(schema_version=SCHEMA, rows=list(rows), recipe=dict(recipe), versions=dict(versions))


def read_results(path: str | Path, content: Mapping[str, Json]) -> Results:
    """Validate the `content` of the results.json at `path`. Raises CheckpointError with an invalid key."""
    results = parse(Results, path, content)
    if results.schema_version < SCHEMA:
        log.info("%s was written by version 0.1 of this package; a new run computes it again", path)
    return results


def combine(rows: Sequence[Row]) -> Row:
    """Combine the rows of several adapters of one base: each task is taken from its own adapter.

    Sizes are those of the shared base, seconds are summed, memory is the maximum, and a perplexity is the
    mean over the adapters.
    """
    tasks = {name: figures for row in rows for name, figures in row.tasks.items()}
    corpora = rows[0].perplexity
    gpu = [row.peak_gpu_memory for row in rows if row.peak_gpu_memory is not None]
    return rows[0].model_copy(
        update={
            "task_tuned": None,
            "tasks": tasks,
            "mean": mean(figures.main for figures in tasks.values()),
            "chance": mean(figures.chance for figures in tasks.values()),
            "perplexity": {
                name: corpora[name].model_copy(
                    update={"perplexity": mean(row.perplexity[name].perplexity for row in rows)}
                )
                for name in corpora
            },
            "seconds": sum(row.seconds for row in rows),
            "peak_memory": max(row.peak_memory for row in rows),
            **({"peak_gpu_memory": max(gpu)} if gpu else {}),
        }
    )


def recovery(row: Row, dense: Row) -> dict[str, float | None]:
    """`recovery` = mean / dense mean; `recovery_above_chance` = (mean - chance) / (dense mean - chance).

    Both are over the row's tasks. The second is None if the dense model is at chance.
    """
    assert row.mean is not None
    assert row.chance is not None
    reference = mean(dense.tasks[name].main for name in row.tasks)
    above = reference - row.chance
    return {
        "recovery": row.mean / reference if reference else None,
        "recovery_above_chance": (row.mean - row.chance) / above if above > 0 else None,
    }


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)
