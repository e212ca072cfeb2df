"""Terminal tables at 80 columns: no figure is cut, what does not fit goes into a further table."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from tailored_llama.recipe import load_recipe
from tailored_llama.reporting import sweep, sweep_tables, tables
from tailored_llama.reporting.fold import fold
from tailored_llama.results import STAGES, SweepResults, read_results
from tests.support.results import assembled, corpus
from tests.support.results import row as made

LONG = "a_task_of_a_user_with_a_name_that_is_longer_than_the_terminal_leaves_room_for_in_a_row_of_it"


def printed(made: list[Table]) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    for table in made:
        console.print(table)
    return console.export_text()


@pytest.mark.parametrize("task", ["world_arc_challenge", LONG])
def test_five_stages_with_the_widest_figures(task: str) -> None:
    rows = [
        made(
            stage,
            {task: 1.0, "piqa": 0.5},
            task_tuned=task if "tuned" in stage else None,
            prompt="same",
            params=123_000_000,
            macs=123_000_000,
            mean=1.0,
            seconds=12345.0,
            peak_memory=2**34,
            perplexity={"wikitext2@2048": corpus(123456.78)},
        )
        for stage in STAGES
    ]
    content = assembled(rows, load_recipe({"model": "m", "tasks": [task, "piqa"]})).to_json()
    for entry in content["rows"]:
        for figures in entry["tasks"].values():
            figures.update(main=1.0, stderr=0.1)
    text = printed(tables(read_results("results.json", content)))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("100.0 ± 10.0") == 2 * len(STAGES)
    assert text.count("123456.78") == text.count("12345 ") + text.count("12345\n") == len(STAGES)
    assert 2 * text.count("mean") == text.count("above chance")  # of dense, and of dense, tuned
    assert task.removeprefix("world_")[:30] in text


@pytest.mark.parametrize("columns", [1, 2, 3, 9, 40])
def test_every_cell_is_there_once_and_names_lead_every_table(columns: int) -> None:
    names = ["name", *(f"c{index}" for index in range(columns))]
    rows = [["first", *(f"{index:08d}" for index in range(columns))], None, ["second", *["x"] * columns]]
    text = printed(fold("Title", names, rows))
    assert "…" not in text
    assert re.findall(r"\d{8}", text) == rows[0][1:]  # type: ignore[index]
    assert text.count("first") == text.count("second") == text.count("name") == text.count("Title")


def test_a_sweep_with_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    widest = "100.0 (100.0 to 100.0)"
    monkeypatch.setattr(sweep, "line", lambda _: [LONG, *[widest] * (len(sweep.COLUMNS) - 1)])
    monkeypatch.setattr(sweep, "failures", lambda _: None)

    class Document:
        settings = (None, None)

    document: SweepResults = Document()  # type: ignore[assignment]
    text = printed(sweep_tables(document))
    assert "…" not in text
    assert text.count(widest) == 2 * (len(sweep.NARROW) - 1)
