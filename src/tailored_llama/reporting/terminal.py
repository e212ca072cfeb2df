"""The results as tables for a terminal of 80 columns: tasks down, models across."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tailored_llama.reporting.formatting import (
    LABELS,
    WORLD,
    count,
    cut_prompts,
    named,
    percent,
    points,
    quantity,
    size,
    unended,
    windows,
    wording,
)
from tailored_llama.results import Results, Row, TaskFigures


def tables(results: Results) -> list[Table]:
    """One table of accuracies for each wording in `results`, and one of sizes."""
    made = [_accuracies(results, name) for name in results.wordings]
    if made and results.of_the_world:
        made[-1].caption = f"{made[-1].caption}\n{WORLD}" if made[-1].caption else WORLD
    return [*made, _sizes(results)] if made else []


def _accuracies(results: Results, name: str) -> Table:
    stages = results.stages(name)
    any_row = next(iter(stages.values()))
    what = quantity(stages.values()).capitalize()
    table = _table(f"{what}, %. {wording(name)}", ["task", "chance", *(LABELS[stage] for stage in stages)])
    for task in results.tasks:
        figures: list[TaskFigures | None] = [row.tasks.get(task) for row in stages.values()]
        known = next(entry for entry in figures if entry)
        table.add_row(named(task, known), _bare(known.chance), *(points(f) for f in figures))
    said = [cut_prompts(any_row), *(_of(stage, unended(row)) for stage, row in stages.items())]
    table.caption = "\n".join(filter(None, said)) or None
    table.add_section()
    table.add_row("mean", _bare(any_row.chance), *(_bare(row.mean) for row in stages.values()))
    if len(stages) > 1:
        for title, key in (("recovery", "recovery"), ("above chance", "recovery_above_chance")):
            table.add_row(title, "", *(percent(row.get(key)) for row in stages.values()))
    return table


def _of(stage: str, said: str) -> str:
    return f"{LABELS[stage].capitalize()}: {said[0].lower()}{said[1:]}" if said else ""


def _bare(share: float | None) -> str:
    return percent(share).removesuffix("%")


def _sizes(results: Results) -> Table:
    stages = results.stages()
    table = _table("Size and cost", ["", *(LABELS[stage] for stage in stages)])
    lines: dict[str, Callable[[Row], str]] = {
        "parameters": lambda row: count(row.params),
        "MACs": lambda row: count(row.macs),
        "peak memory": lambda row: size(row.peak_memory),
        "scoring, seconds": lambda row: f"{row.seconds:.0f}",
        **{f"perplexity, {corpus}": partial(_perplexity, corpus) for corpus in results.corpora},
    }
    for name, cell in lines.items():
        table.add_row(name, *(cell(row) for row in stages.values()))
    table.caption = windows(results) or None
    return table


def _perplexity(corpus: str, row: Row) -> str:
    figures = row.perplexity.get(corpus)
    return f"{figures.perplexity:.2f}" if figures else "–"


def _table(title: str, columns: list[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD,
        min_width=60, pad_edge=False,  # a narrow table would fold its title, a wide one its figures
    )  # fmt: skip
    for index, column in enumerate(columns):
        table.add_column(column.replace(", ", ",\n"), justify="right" if index else "left", no_wrap=True)
    return table
