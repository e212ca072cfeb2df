"""The report over a run whose files were changed, and the places that a page may be written to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.cli.verbs import execute
from tailored_llama.errors import OutputError
from tailored_llama.recipe import load_recipe
from tailored_llama.reporting import check_page, pictures, report
from tests.support.results import assembled, row

TASK = "cost_$x^"
"""Not valid as TeX, which matplotlib would read between two signs of money."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with results of one model and one adapter."""
    out = tmp_path / "run"
    (out / "tune-a").mkdir(parents=True)
    recipe = load_recipe({"model": "m", "tasks": ["boolq"]})
    found = assembled([row("dense", {f"{TASK}${TASK}": 0.8}, mean=0.8, prompt="same")], recipe)
    (out / "results.json").write_text(json.dumps(found.to_json()))
    (out / "tune-a" / "history.jsonl").write_text('{"epoch": 1, "loss": 2.0}\n')
    return out


@pytest.mark.parametrize(
    ("shots", "recipe"),
    [({}, None), ({"task": 1}, None), (None, {}), (None, {"model": []}), (None, {"model": "m", "prune": 5})],
)
def test_files_of_another_form_are_one_line(
    run: Path, shots: Any, recipe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if shots is not None:
        (run / "tune-a" / "shots.json").write_text(json.dumps(shots))
    if recipe is not None:
        content = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps(content | {"recipe": recipe}))
    page = run.parent / "page.html"
    assert execute(["report", str(run), "--out", str(page)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert ("no page can be made of what is there" if shots is None else "shots.json: task: ") in err
    assert not page.exists()


def test_names_are_no_formulas_and_no_markup(run: Path) -> None:
    content = (run / "results.json").read_text().replace('"same"', '"<b>x</b>"')
    (run / "results.json").write_text(content)
    page = report([run], run.parent / "page.html").read_text()
    assert TASK in page
    assert "<b>x" not in page
    assert pictures.STYLE["text.parse_math"] is False


def test_a_page_replaces_only_a_page(run: Path) -> None:
    rows, page, empty = (run.parent / name for name in ("rows.jsonl", "page.html", "empty.html"))
    rows.write_text('{"text": "a"}\n')
    with pytest.raises(OutputError, match=r"rows.jsonl exists and is no page; name another file"):
        check_page(rows)
    assert rows.read_text() == '{"text": "a"}\n'
    empty.touch()
    report([run], page)
    for place in (page, empty, run.parent / "new" / "page.html"):
        check_page(place)
    with pytest.raises(OutputError, match="is a directory; name the page's file"):
        check_page(run)


def test_no_page_takes_the_place_of_a_device_or_a_pipe(run: Path) -> None:
    pipe, link = run.parent / "pipe", run.parent / "stdout"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")
    for place in (pipe, link):
        with pytest.raises(OutputError, match="is a device or a pipe, which a file would replace"):
            check_page(place)
        with pytest.raises(OutputError, match="is a device or a pipe"):
            report([run], place)
    assert pipe.is_fifo()
    assert link.is_symlink()
