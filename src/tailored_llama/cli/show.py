"""Results on stdout: tables for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tailored_llama.strict_json import to_json

if TYPE_CHECKING:
    from tailored_llama.data import Example
    from tailored_llama.results import MatrixResults, Results, SweepResults
    from tailored_llama.workflows.outlook import Outlook
    from tailored_llama.workflows.sweep.outlook import SweepOutlook


def show(result: Results | SweepResults, as_json: bool) -> None:
    """Results on stdout: one JSON object, or tables."""
    if as_json:
        print(to_json(result.to_json()))
        return
    from rich.console import Console

    from tailored_llama.reporting import sweep_tables, tables
    from tailored_llama.results import SweepResults

    console = Console()
    for table in sweep_tables(result) if isinstance(result, SweepResults) else tables(result):
        console.print(table)


def show_outlook(found: Outlook | SweepOutlook, as_json: bool) -> None:
    """What a run will do: one JSON object, or its stages with a sum below them."""
    if as_json:
        print(to_json(found.to_json()))
        return
    from rich.console import Console

    from tailored_llama.cli.outlook import outlook_tables

    console = Console()
    for table in outlook_tables(found):
        console.print(table)
    print(found.line)
    print(f"({found.how})")


def show_matrix(results: MatrixResults, as_json: bool) -> None:
    """The cross-prompt experiment: one JSON object, or a table."""
    if as_json:
        print(to_json(results.to_json()))
        return
    from rich.console import Console

    from tailored_llama.reporting.cross_task_page import matrix_table

    Console().print(matrix_table(results))


def show_facts(facts: dict[str, Any], as_json: bool) -> None:
    """A flat result: one JSON object, or a line a fact."""
    if as_json:
        print(to_json(facts))
        return
    for name, value in facts.items():
        print(f"{name:<18} {value:,}" if isinstance(value, int) else f"{name:<18} {value}")


def show_list(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """What there is of one kind: one JSON object with the rows under `title`, or a line a row."""
    if as_json:
        print(to_json({title: rows}))
        return
    lines = [[", ".join(v) if isinstance(v, list) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)).rstrip())


def show_prompts(task: str, examples: Mapping[str, Example], as_json: bool) -> None:
    """A task's row in every wording: one JSON object, or the texts with a star before the right answer."""
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


def show_measured(found: dict[str, Any], as_json: bool) -> None:
    """Sizes and speeds: tables, or one JSON object; a model that was measured alone is that object."""
    if as_json:
        alone = found["models"][0] if len(found["models"]) == 1 else {"models": found["models"]}
        print(to_json({**alone, "settings": found["settings"], "versions": found["versions"]}))
        return
    from rich.console import Console

    from tailored_llama.profiling.tables import tables

    console = Console()
    for table in tables(found):
        console.print(table)


def show_ranking(ranking: dict[str, Any], as_json: bool) -> None:
    """Wordings in order, the best first: one JSON object, or a line a wording."""
    if as_json:
        print(to_json(ranking))
        return
    tuned = ranking["compared"] == "tuned"
    print("Tuned on one half of the shots, asked the other" if tuned else "Before any tuning")
    print(f"{'prompt':<12} {'accuracy':>9} {'95%':>14} {'margin':>8} {'95%':>17} {'first':>7}")
    for entry in ranking["wordings"]:
        low, high = (f"{100 * value:.1f}" for value in entry["accuracy_interval"])
        below, above = (f"{value:+.3f}" for value in entry["margin_interval"])
        print(
            f"{entry['prompt']:<12} {entry['accuracy']:>9.1%} {f'{low} to {high}':>14} "
            f"{entry['margin']:>+8.3f} {f'{below} to {above}':>17} {entry['first']:>7.1%}"
        )
    print(f"choosing so, on shots not chosen by: {ranking['held_out']:.1%}")
    if ranking["specificity"]:
        print(f"\n{'prompt':<12} {'gain, own':>10} {'others':>8} {'specificity':>12} {'95%':>17}")
    for entry in ranking["specificity"]:
        below, above = (f"{value:+.3f}" for value in entry["specificity_interval"])
        print(
            f"{entry['prompt']:<12} {entry['own']:>+10.3f} {entry['others']:>+8.3f} "
            f"{entry['specificity']:>+12.3f} {f'{below} to {above}':>17}"
        )
