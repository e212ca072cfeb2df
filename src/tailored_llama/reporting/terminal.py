"""The results as tables for a terminal: tasks down, models across."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.table import Table

from tailored_llama.reporting.fold import WIDTH, fold
from tailored_llama.reporting.formatting import (
    LABELS,
    SYNTHETIC,
    bare,
    count,
    cut_prompts,
    named,
    percent,
    points,
    quantity,
    short,
    size,
    unended,
    windows,
    wording,
)
from tailored_llama.reporting.totals import (
    UNCALIBRATED,
    calibration_note,
    left_out,
    majority_note,
    shows_majority,
    totals,
    without_calibration,
)
from tailored_llama.results import Results, Row, TaskFigures


def tables(results: Results, width: int = WIDTH) -> list[Table]:
    """Tables of accuracies for each wording in `results`, and of sizes; each fits `width` characters."""
    result = [table for name in results.wordings for table in _accuracies(results, name, width)]
    if result and results.synthetic:
        result[-1].caption = f"{result[-1].caption}\n{SYNTHETIC}" if result[-1].caption else SYNTHETIC
    return [*result, *_sizes(results, width)] if result else []


def _accuracies(results: Results, name: str, width: int) -> list[Table]:
    stages = results.stages(name)
    any_row = next(iter(stages.values()))
    noun = quantity(stages.values()).capitalize()
    with_majority = shows_majority(results, any_row.tasks)
    uncalibrated = without_calibration(results, name)
    rows: list[list[str] | None] = []
    for task in results.tasks:
        figures: list[TaskFigures | None] = [row.tasks.get(task) for row in stages.values()]
        example = next(entry for entry in figures if entry)
        floor = [bare(results.majority_of(task))] if with_majority else []
        rows.append([named(task, example), bare(example.chance), *floor, *(points(f) for f in figures)])
        if task in uncalibrated:
            cells = map(bare, uncalibrated[task])
            rows.append([f"{short(task)}, {UNCALIBRATED}", *[""] * (1 + with_majority), *cells])
    rows.append(None)
    for total in totals(results, name, percent):
        baselines = [total.chance, total.majority] if with_majority else [total.chance]
        rows.append([total.title, *baselines, *total.stages])
    notes = [
        calibration_note(uncalibrated), left_out(stages), majority_note(results, any_row.tasks),
        cut_prompts(any_row),
        *(_of(stage, unended(row)) for stage, row in stages.items()),
    ]  # fmt: skip
    baselines = ["chance", "majority"] if with_majority else ["chance"]
    return fold(
        f"{noun}, %. {wording(name)}", ["task", *baselines, *(LABELS[stage] for stage in stages)], rows,
        repeated=2, caption="\n".join(filter(None, notes)) or None, width=width,
    )  # fmt: skip


def _of(stage: str, note: str) -> str:
    return f"{LABELS[stage].capitalize()}: {note[0].lower()}{note[1:]}" if note else ""


def _sizes(results: Results, width: int) -> list[Table]:
    stages = results.stages()
    lines: dict[str, Callable[[Row], str]] = {
        "parameters": lambda row: count(row.params),
        "MACs": lambda row: count(row.macs),
        "peak memory": lambda row: size(row.peak_memory),
        "scoring, seconds": lambda row: f"{row.seconds:.0f}",
        **{f"perplexity, {corpus}": partial(_perplexity, corpus) for corpus in results.corpora},
    }
    return fold(
        "Size and cost", ["", *(LABELS[stage] for stage in stages)],
        [[name, *(cell(row) for row in stages.values())] for name, cell in lines.items()],
        caption=windows(results) or None, width=width,
    )  # fmt: skip


def _perplexity(corpus: str, row: Row) -> str:
    figures = row.perplexity.get(corpus)
    return f"{figures.perplexity:.2f}" if figures else "–"
