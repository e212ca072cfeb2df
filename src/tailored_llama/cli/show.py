"""Results on stdout: tables, or with `--json` one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tailored_llama.strict_json import Json, to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tailored_llama.data import Example
    from tailored_llama.results import MatrixResults, Measurement, PromptRanking, Results, SweepResults
    from tailored_llama.workflows.outlook import Outlook

UNFOLDED = 10_000
"""Characters of a line that no program has to read in pieces."""


def show(result: Results | SweepResults, as_json: bool) -> None:
    """Results on stdout: one JSON object, or tables."""
    if as_json:
        print(to_json(result.to_json()))
        return
    from tailored_llama.reporting import sweep_tables, tables
    from tailored_llama.results import SweepResults

    _print(
        lambda width: (
            sweep_tables(result, width) if isinstance(result, SweepResults) else tables(result, width)
        )
    )


def show_outlook(outlook: Outlook, as_json: bool) -> None:
    """The planned stages of a run: one JSON object, or a table with totals."""
    if as_json:
        print(to_json(outlook.to_json()))
        return
    from tailored_llama.cli.outlook import outlook_tables

    _print(lambda _: outlook_tables(outlook))
    print(outlook.line)
    print(f"({outlook.how})")


def show_matrix(results: MatrixResults, as_json: bool) -> None:
    """The cross-prompt experiment: one JSON object, or a table."""
    if as_json:
        print(to_json(results.to_json()))
        return
    from tailored_llama.reporting.cross_task_page import matrix_tables

    _print(lambda width: matrix_tables(results, width))


def _print(made: Callable[[int], Sequence[RenderableType]], beside: int | None = None) -> None:
    """What `made` gives for the width of the terminal. Where the output is no terminal, for 80 columns or
    `beside`, without spaces at the ends of lines.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal and beside is not None:
        console.width = beside
    for table in made(console.width):
        if console.is_terminal:
            console.print(table)
            continue
        with console.capture() as captured:
            console.print(table)
        for text in captured.get().splitlines():
            print(text.rstrip())


def show_facts(facts: Mapping[str, Json], as_json: bool) -> None:
    """A flat result: one JSON object, or one line per entry."""
    if as_json:
        print(to_json(facts))
        return
    for name, value in facts.items():
        print(f"{name:<18} {value:,}" if isinstance(value, int) else f"{name:<18} {value}")


def show_list(title: str, rows: Sequence[Mapping[str, str | Sequence[str]]], as_json: bool) -> None:
    """What there is of one kind: one JSON object with the rows under `title`, or a line a row, which only a
    terminal folds.
    """
    if as_json:
        print(to_json({title: rows}))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for place in range(max(map(len, rows))):
        table.add_column(no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*(v if isinstance(v, str) else ", ".join(v) for v in row.values()))
    _print(lambda _: [table], beside=UNFOLDED)


def show_prompts(task: str, examples: Mapping[str, Example], as_json: bool) -> None:
    """A task's row in every wording: one JSON object, or the texts with a star before the correct answer."""
    if as_json:
        prompts = [
            {
                "name": name, "contexts": list(example.contexts), "answers": list(example.answers),
                "gold": example.gold,
            }
            for name, example in examples.items()
        ]  # fmt: skip
        print(to_json({"task": task, "prompts": prompts}))
        return
    for name, example in examples.items():
        print(f"--- {name}")
        for index, (context, answer) in enumerate(zip(example.contexts, example.answers, strict=True)):
            mark = "*" if index == example.gold else " "
            text = context if index == 0 or context != example.contexts[0] else "..."
            print(f"{mark} {text}[{answer}]")


def show_measured(measured: Measurement, as_json: bool) -> None:
    """Sizes and speeds: tables, or one JSON object; for a single model, the object describes that model."""
    if as_json:
        content = measured.to_json()
        alone = measured.models[0].to_json() if len(measured.models) == 1 else {"models": content["models"]}
        print(to_json({**alone, "settings": content["settings"], "versions": content["versions"]}))
        return
    from tailored_llama.profiling.tables import tables

    _print(lambda width: tables(measured, width))


def show_ranking(ranking: PromptRanking, as_json: bool) -> None:
    """Wordings in order, the best first: one JSON object, or tables."""
    if as_json:
        print(to_json(ranking.to_json()))
        return
    from tailored_llama.reporting.rankings import ranking_tables

    _print(lambda width: ranking_tables(ranking, width))
