"""The page and the tables, from small run directories made by hand."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tailored_llama.errors import OutputError
from tailored_llama.families import LayerWidths
from tailored_llama.recipe import load_recipe
from tailored_llama.reporting import formatting as words
from tailored_llama.reporting import pictures, report, tables
from tailored_llama.reporting.read import read_run
from tailored_llama.results import Majority, MajorityFigures, Results, read_results, results_of
from tests.support.reports import TASKS, Page, results, row, text_of, write_run
from tests.support.results import assembled
from tests.support.results import row as made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of one run."""
    folder = tmp_path_factory.mktemp("page")
    return report([write_run(folder / "run")], folder / "new" / "report.html").read_text()


def test_one_page_without_network_and_with_everything_in_it(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert all(address.startswith("#") for address in parsed.addresses)
    assert "url(http" not in page
    assert "@import" not in page
    output = text_of(page)
    for expected in (
        "elsewhere/model, cut by 50% of its parameters", "90.0 ± 3.0", "micro-world", "chance",
        "60% of the parameters were removed: 2 M became 800 K", "keeps 61.1% of the dense",
        "Tuned on 50 examples per task it recovers 90.0%", "77.5% above chance",
        "the small model reaches 85.3%", "Is &lt;b&gt; bold?",
        "prompt “paper”; 3 truncated on the left",
        "Chosen: “paper”, the best on the 3 shots before any tuning, in accuracy before “cloze”; it is "
        "the best in 80% of 1000 resampled sets of shots. Cross-validated score of this choice: 55.0%.",
        "+0.410", "+0.200 to +0.600", "50.0 to 70.0",
        "stock wording of lm-evaluation-harness", "1.53 MiB", "8.25",
        "At most 100 questions", "tailor run", "tailored-llama",
    ):  # fmt: skip
        assert expected in output, expected


def test_every_picture_says_in_words_what_it_shows(page: str) -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert len(labels) == page.count("<svg ") == 4
    assert "boolq: dense 90, dense, tuned 95, pruned 55, pruned, tuned 81" in labels[0]
    assert "layer 0: 2 of 4 heads, 20 of 48 channels; layer 1: 4 of 4 heads" in labels[2]
    assert "piqa on the pruned model: from 2.50 to 1.00" in labels[3]


def test_pictures_are_valid_svg_in_the_pages_colours() -> None:
    before = [LayerWidths(4, 2, 48)] * 3
    for svg in (
        pictures.accuracies(results(), "same"),
        pictures.widths(before, [LayerWidths(2, 1, 30)] * 3),
    ):
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("width") is None
        assert root.get("height") is None
        assert "var(--dense)" in svg
        assert "var(--ink)" in svg
        assert not set(re.findall(r"#[0-9a-f]{6}\b", svg)) - {"#000000", "#ffffff"}
    assert pictures.widths(before, before) == pictures.widths(before, before)


@pytest.mark.usefixtures("undrawn")
def test_a_model_evaluated_alone_has_a_page_and_tables(tmp_path: Path) -> None:
    recipe = load_recipe({"model": "m", "tasks": ["boolq"]})
    alone = assembled([row("dense", "harness", ("boolq",))], recipe)
    (tmp_path / "results.json").write_text(json.dumps(alone.to_json()))
    page = text_of(report([tmp_path], tmp_path / "report.html").read_text())
    assert "Mean accuracy 80.0" in page
    assert "micro-world" not in page
    assert "cut by" not in page
    assert len(tables(alone)) == 2


def test_the_run_is_read_in_the_order_of_its_tasks(run: Path) -> None:
    tunings = read_run(run).tunings
    assert [(t.task, t.base) for t in tunings] == [(t, b) for t in TASKS for b in ("dense", "pruned")]
    assert tunings[0].epoch_losses() == [2.5, 1.0]


@pytest.mark.parametrize("tasks", [TASKS, ("boolq",)])
def test_a_stage_has_one_row_whether_tasks_are_one_or_several(tasks: tuple[str, ...]) -> None:
    found = results(tasks)
    assert found.wordings == ["same", "harness"]
    assert len(found.main_rows) == 8
    assert list(found.stages("harness")) == ["dense", "dense_tuned", "pruned", "tuned"]
    assert all(list(stage.tasks) == list(tasks) for stage in found.stages().values())


def test_tables_fit_a_terminal_and_carry_the_figures() -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    made = tables(results())
    for table in made:
        console.print(table)
    text = console.export_text()
    assert "…" not in text
    lines = [line.split() for line in text.splitlines()]
    assert [
        "boolq",
        "50.0",
        "90.0",
        "±",
        "3.0",
        "95.0",
        "±",
        "3.0",
        "55.0",
        "±",
        "3.0",
        "81.0",
        "±",
        "3.0",
    ] in lines
    assert ["mean", "50.0", "90.0", "95.0", "55.0", "81.0"] in lines
    assert ["recovery", "100.0%", "105.6%", "61.1%", "90.0%"] in lines
    assert ["above", "chance", "100.0%", "112.5%", "12.5%", "77.5%"] in lines
    assert ["perplexity,", "world", "8.25", "8.25", "8.25", "8.25"] in lines
    assert len(made) == 3
    assert "micro-world" in text
    assert "Perplexity over windows of 64 tokens." in text


@pytest.mark.usefixtures("undrawn")
def test_prompts_that_were_cut_are_said(run: Path, tmp_path: Path) -> None:
    content = results().to_json()
    for entry in content["rows"]:
        if TASKS[0] in entry["tasks"]:
            entry["tasks"][TASKS[0]]["cut"] = 7
    (run / "results.json").write_text(json.dumps(content))
    cut = read_results("results.json", content)
    output = "truncated on the left: " + TASKS[0].removeprefix("world_") + " 7 of 100."
    assert output in report([run], tmp_path / "page.html").read_text()
    assert output in str(tables(cut)[0].caption)
    assert output not in str(tables(results())[0].caption)


def test_numbers_in_words() -> None:
    assert [words.count(n) for n in (999, 12_345, 6_738_000_000, 4.2e11)] == [
        "999",
        "12.3 K",
        "6.74 B",
        "420 B",
    ]
    assert [words.size(n) for n in (512, 2**20, 13.5 * 2**30)] == ["512 B", "1 MiB", "13.5 GiB"]
    assert [words.percent(x) for x in (None, 0.8654)] == ["–", "86.5%"]


@pytest.mark.usefixtures("undrawn")
def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    for directories, out, message in (
        ([tmp_path / "nowhere"], tmp_path / "r.html", r"nowhere has no results\.json"),
        ([], tmp_path / "r.html", "no run directory"),
        ([run], tmp_path, "is a directory; name the page's file"),
        ([run], run / "results.json" / "r.html", "cannot be created"),
    ):
        with pytest.raises(OutputError, match=message) as raised:
            report(directories, out)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "r.html").exists()


def baselined(below: float = 0.4) -> Results:
    """Four stages; the dense model is below chance on boolq, which alone has fixed labels."""
    rows = [
        made("dense", {"boolq": below, "piqa": 0.9}), made("dense_tuned", {"boolq": 0.7, "piqa": 0.9}),
        made("pruned", {"boolq": 0.45, "piqa": 0.6}), made("tuned", {"boolq": 0.6, "piqa": 0.8}),
    ]  # fmt: skip
    known = Majority(
        tasks={
            "boolq": MajorityFigures(main=0.62, label="yes", n=100),
            "piqa": MajorityFigures(main=0.5, label=None, n=100),
        },
        mean=0.56,
    )  # fmt: skip
    recipe = load_recipe({"model": "m", "tasks": ["boolq", "piqa"]}).model_dump(mode="json")
    return results_of(rows, recipe, {}, majority=known)


TOTALS = {
    "mean": ["50.0", "56.0", "65.0", "80.0", "52.5", "70.0"],
    "recovery": ["86.2%", "100.0%", "123.1%", "80.8%", "107.7%"],
    "of dense, tuned": ["20.0%", "50.0%", "100.0%", "8.3%", "66.7%"],
    "mean*": ["50.0", "50.0", "90.0", "90.0", "60.0", "80.0"],
    "recovery*": ["55.6%", "100.0%", "100.0%", "66.7%", "88.9%"],
}


def test_baseline_and_shares_are_in_the_terminal() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    for table in tables(baselined(), 120):
        console.print(table)
    text = console.export_text()
    assert re.search(r"boolq +50.0 +62.0 +40.0 ± 3.0", text)
    shares = {key: cells for key, cells in TOTALS.items() if key != "of dense, tuned"}
    for title, cells in shares.items():
        assert [title, *cells] in [line.split() for line in text.splitlines()], title
    assert ["above", "chance,", *TOTALS["of dense, tuned"]] in [line.split() for line in text.splitlines()]
    flat = " ".join(text.split())
    assert "* Without tasks on which the dense model is below chance: boolq." in flat
    assert "(boolq “yes”); chance for tasks without fixed labels." in flat


def test_baseline_and_shares_are_on_the_page(run: Path, tmp_path: Path) -> None:
    (run / "results.json").write_text(json.dumps(baselined().to_json()))
    text = text_of(report([run], tmp_path / "page.html").read_text())
    assert "task chance majority dense" in text
    for title in ("recovery", "above chance, of dense, tuned", "recovery*"):
        cells = " ".join(TOTALS[title.removeprefix("above chance, ")]).replace("%", "")
        assert f" {title} {cells} " in text, title
    assert f" mean* {' '.join(TOTALS['mean*'])} " in text
    assert "* Without tasks on which the dense model is below chance: boolq." in text


def test_a_run_of_version_0_1_whose_model_is_gone_has_a_page(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It recorded the whole path of the model, and no number of the file's version."""
    content = results().to_json()
    del content["schema"]
    (run / "results.json").write_text(json.dumps(content))
    source = {"model": str(tmp_path / "gone" / "model"), "digest": "0" * 64}
    (run / "prune" / "plan.json").write_text(json.dumps({"source": source, "kept": {}}))
    with caplog.at_level("INFO"):
        text = text_of(report([run], tmp_path / "page.html").read_text())
    assert "was written by version 0.1" in caplog.text
    assert "task chance dense" in text, "it has no baseline"


@pytest.fixture
def calibrated() -> Results:
    """`baselined` with batch calibration on boolq."""
    content = baselined(0.6).to_json()
    for number, entry in enumerate(content["rows"]):  # type: ignore[arg-type]
        entry["tasks"]["boolq"]["uncalibrated"] = 0.4 + 0.05 * number  # type: ignore[index, call-overload]
    return read_results("results.json", content)


def test_scores_without_batch_calibration_are_below_those_with_it(
    calibrated: Results, run: Path, tmp_path: Path
) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables(calibrated):
        console.print(table)
    text = console.export_text()
    (run / "results.json").write_text(json.dumps(calibrated.to_json()))
    page = text_of(report([run], tmp_path / "page.html").read_text())
    assert max(map(len, text.splitlines())) <= 80
    for output in (" ".join(text.split()), page):
        assert "Batch calibration by the scored questions: boolq." in output
    assert re.search(r"boolq, uncalibrated +40.0 +45.0 +50.0", text)
    assert "boolq, uncalibrated 40.0 45.0 50.0 55.0" in page
    assert "mean, uncalibrated 65.0 67.5 55.0 67.5" in page


def test_a_baseline_without_fixed_labels_is_a_sentence() -> None:
    own = baselined()
    entry = own.majority.tasks["piqa"]  # type: ignore[union-attr]
    bare = own.model_copy(update={"majority": Majority(tasks={"boolq": entry, "piqa": entry}, mean=0.5)})
    (table, *_) = tables(bare)
    assert "majority" not in [column.header for column in table.columns]
    assert "No task has fixed labels" in str(table.caption)
