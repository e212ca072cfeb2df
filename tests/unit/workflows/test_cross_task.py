"""The cross-prompt experiment: its table, and its general instructions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tailored_llama import world
from tailored_llama.data.instructions import general_task, read_instructions, world_instructions
from tailored_llama.errors import DataError
from tailored_llama.reporting.cross_task_page import matrix_tables
from tailored_llama.results import MatrixResults, TaskFigures
from tests.support.results import figures as made

GENERAL = [{"instruction": f"Say {n}.", "input": "" if n % 2 else "Now.", "output": f"{n}"} for n in range(6)]


def test_eight_tasks_fit_a_terminal() -> None:
    names = [f"world_{name}" for name in ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "tell")]
    names += ["world_arc_challenge", "world_openbookqa"]
    rows = ["untuned", *names, "general"]
    found = MatrixResults(
        columns=names, tuned_in={}, means=dict.fromkeys(rows, 1.0), diagonal=1.0, beside=1.0,
        general={},
        cells={row: {name: TaskFigures(**made(1.0)) for name in names} for row in rows},
    )  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    (table,) = matrix_tables(found)
    console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert text.count("*100.0") == 8
    assert ["untuned", *["100.0"] * 9] in [line.split() for line in text.splitlines()]


def test_instructions_are_rendered_with_and_without_input(tmp_path: Path) -> None:
    task = general_task(tmp_path)
    with_input, without = (task.render("instruct", row) for row in GENERAL[:2])
    assert with_input.context == "### Instruction:\nSay 0.\n\n### Input:\nNow.\n\n### Response:\n"
    assert without.context == "### Instruction:\nSay 1.\n\n### Response:\n"
    assert (with_input.answer, without.answer) == ("0", "1")


def test_a_list_and_lines_are_read_alike(tmp_path: Path) -> None:
    rows = [{"instruction": "Say a.", "output": "a"}, GENERAL[0]]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    expected = [{"instruction": "Say a.", "input": "", "output": "a"}, GENERAL[0]]
    assert (
        read_instructions(tmp_path / "list.json") == read_instructions(tmp_path / "lines.jsonl") == expected
    )


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('{"instruction": "Say a."}', "row 1: 'output' is missing or empty"),
        ('{"instruction": "a", "output": "b"}\n[1]', "row 2: not a JSON object"),
        ("{", "not valid JSON lines"),
    ],
)
def test_wrong_instructions(tmp_path: Path, text: str, printed: str) -> None:
    (tmp_path / "general.jsonl").write_text(text)
    with pytest.raises(DataError, match=printed):
        read_instructions(tmp_path / "general.jsonl")


def test_instructions_about_the_world_are_of_its_stories() -> None:
    rows = world_instructions()
    assert len(rows) > 1000
    stories = world.text("train")
    assert {row["instruction"] for row in rows} == {
        "Go on with the story.", "How does the story end?", "Repeat the first sentence."
    }  # fmt: skip
    assert all(row["output"] in stories for row in rows[:30])
