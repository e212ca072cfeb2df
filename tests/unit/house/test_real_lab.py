"""The lab on a real LLaMA: the page is rendered from the kept figures, and only missing cells run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.sweep.cells import cells_of
from tests.support import ROOT
from tests.support.tasks import ROWS, write_split
from tools.real import lab
from tools.real.page import FIRST_LOOK, render, whole_table


def row(stage: str, kl: float) -> dict[str, Any]:
    figures = {"acc": 0.5, "main": 0.5, "stderr": 0.05, "chance": 0.25, "n": 50, "cut": 0}
    text = {"perplexity": 50.0, "kl": kl, "tokens": 127, "windows": 1, "length": 128}
    return {
        "stage": stage, "task_tuned": None, "prompt": "harness", "params": 10, "macs": 10, "seconds": 1.0,
        "peak_memory": 1, "mean": 0.5, "chance": 0.25, "tasks": {"piqa": figures},
        "perplexity": {"wikitext2": text, "ptb": text},
    }  # fmt: skip


def finish(work: Path, cell: str, kl: float) -> None:
    """What a run leaves of a cell."""
    place = work / "lab-real-cut" / "cells" / cell
    place.mkdir(parents=True)
    document = {
        "schema": 2,
        "rows": [row("dense", 0.0), row("pruned", kl)],
        "recipe": {},
        "versions": {"torch": "2"},
    }
    (place / "results.json").write_text(json.dumps(document))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    place = tmp_path / "figures"
    place.mkdir()
    (place / FIRST_LOOK).write_text((lab.FIGURES / FIRST_LOOK).read_text())
    monkeypatch.setattr(lab, "FIGURES", place)
    monkeypatch.setattr(lab, "PAGE", tmp_path / "real.md")
    return place


def test_the_page_is_what_the_figures_say() -> None:
    page = (ROOT / "docs" / "lab" / "real.md").read_text(encoding="utf-8")
    assert page == render(lab.FIGURES, {name: lab.missing(name) for name in lab.lab_recipes()})


def test_finished_cells_are_kept_and_ordered_by_divergence(figures: Path, tmp_path: Path) -> None:
    one, two, *_ = [cell.name for cell in lab.missing("lab-real-cut") if "ratio=0.2" in cell.name]
    finish(tmp_path, one, 1.5)
    finish(tmp_path, two, 0.5)
    before = len(lab.missing("lab-real-cut"))
    assert lab.main(["--work", str(tmp_path)]) == 0
    assert len(lab.missing("lab-real-cut")) == before - 2
    kept = json.loads((figures / "lab-real-cut" / f"{one}.json").read_text())
    assert kept["rows"][1]["tasks"] == {"piqa": {"main": 0.5, "stderr": 0.05, "chance": 0.25, "n": 50}}
    page = (tmp_path / "real.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith(("| global |", "| layers-1-29 |"))]
    assert [line.split(" | ")[:2] for line in lines] == [["| layers-1-29", "0.500"], ["| global", "1.500"]]
    assert "50.0 ± 5.0 (of 50)" in lines[0]


def test_only_missing_cells_run(figures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [cell for cell in lab.missing("lab-real-cut") if cell.chosen["variant"] in ("l1", "l2")]
    assert len(wanted) == 4
    kept = figures / "lab-real-cut" / f"{wanted[0].name}.json"
    finish(tmp_path, wanted[0].name, 1.0)
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 0)
    options = [
        "--model",
        "m",
        "--data",
        "rows",
        "--only",
        "lab-real-cut",
        "--cells",
        "l1,l2",
        "--work",
        str(tmp_path),
    ]
    assert lab.main(options) == 0
    assert kept.is_file()
    assert len(called) == 2
    requested = []
    for command in called:
        sweep = json.loads(command[command.index("--set") + 1].removeprefix("sweep="))
        recipe = load_recipe("lab-real-cut", [("sweep", sweep)])
        requested += [cell.recipe for cell in cells_of(recipe)]
        assert command[-4:] == ["--set", "model=m", "--data", "rows"]
    assert requested == [cell.recipe for cell in sorted(wanted[1:], key=lambda c: c.recipe.prune.ratio)]


def whole(seed: int, tuned: float) -> dict[str, Any]:
    """The kept figures of a whole run over two tasks."""
    means = {"dense": 0.6, "dense_tuned": 0.7, "pruned": 0.4, "tuned": tuned}
    rows = [
        row(stage, 0.0) | {
            "mean": mean,
            "tasks": {"boolq": {"main": 0.2, "chance": 0.5}, "piqa": {"main": mean, "chance": 0.5}},
            "perplexity": {"wikitext2": {"perplexity": 100 * (1 - mean)}},
        }
        for stage, mean in means.items()
    ]  # fmt: skip
    chosen = {"variant": "recipe", "prune.ratio": 0.2}
    return {"seed": seed, "chosen": chosen, "rows": rows, "majority": {"boolq": 0.62, "piqa": 0.5}}


def test_whole_runs_are_compared_with_dense_and_dense_tuned_above_chance() -> None:
    lines = whole_table([whole(1, 0.5), whole(2, 0.52)], 0.2).splitlines()
    tuned = next(line for line in lines if line.startswith("| recipe: tuned"))
    mean, of_dense, above, above_tuned, without, times = [part.strip() for part in tuned.split("|")[3:-1]]
    assert mean == "51.00 ± 1.00"
    assert of_dense == "85.00 ± 1.67"
    assert above == "74.29 ± 2.86"  # (0.51 - 0.25) / (0.6 - 0.25)
    assert above_tuned == "57.78 ± 2.22"
    assert without == of_dense
    assert times == "1.23 ± 0.03"
    assert "| recipe: majority | 2 | 56.00 ± 0.00 |" in "\n".join(lines)
    assert "of dense, without boolq |" in "\n".join(lines)
    assert "No cell" in whole_table([], 0.39)


def test_a_single_run_is_on_the_page_in_both_wordings(figures: Path, tmp_path: Path) -> None:
    directory = tmp_path / "smollm2-20"
    directory.mkdir()
    rows = []
    for wording, dense, tuned in (("same", 0.5, 0.45), ("harness", 0.25, 0.3)):
        for stage, value in (("dense", dense), ("dense_tuned", 0.6), ("tuned", tuned)):
            own = {**row(stage, 0.1), "prompt": wording, "mean": value}
            own["tasks"] = {"piqa": {**own["tasks"]["piqa"], "main": value}}
            rows.append(own)
    recipe = load_recipe("smollm2-20", [("seed", 7), ("evaluate.limit", 150)]).model_dump(mode="json")
    document = {"schema": 2, "rows": rows, "recipe": recipe, "versions": {"torch": "2"}}
    (directory / "results.json").write_text(json.dumps(document))
    assert lab.main(["--run", str(directory)]) == 0
    page = lab.PAGE.read_text(encoding="utf-8")
    assert "One run of `smollm2-20`, seed 7, first 150 rows" in page
    # In the tuned wording 0.45 of 0.5; above chance 0.2 of 0.25, and of 0.35.
    assert "| tuned | 45.00 | 90.00 | 80.00 | 57.14 |" in page
    assert "| tuned | 30.00 | 120.00 | \N{EN DASH} |" in page, "the unpruned model is at chance"
    assert "| tuned | 45.0 |" in page, "by task"


def test_an_unfinished_run_gives_the_wordings_that_are_complete(figures: Path, tmp_path: Path) -> None:
    directory = tmp_path / "smollm2-20"
    tasks = ["piqa", "winogrande"]

    def stage(name: str, wording: str, own: list[str], tuned_to: str | None = None) -> None:
        place = directory / "-".join(part for part in ("evaluate", name, wording, tuned_to) if part)
        place.mkdir(parents=True)
        entry = {**row(name, 0.1), "prompt": wording, "task_tuned": tuned_to}
        entry["tasks"] = dict.fromkeys(own, entry["tasks"]["piqa"])
        document = {"schema": 2, "rows": [entry], "recipe": {}, "versions": {"torch": "2"}}
        (place / "results.json").write_text(json.dumps(document))

    directory.mkdir()
    recipe = load_recipe("smollm2-20", [("tasks", tasks), ("evaluate.limit", 50)]).model_dump(mode="json")
    for task in tasks:
        for split in ("train", "validation"):
            text = "goal" if task == "piqa" else "sentence"
            rows = [{**ROWS[task], text: f"{split} {n}: {ROWS[task][text]}"} for n in range(60)]
            write_split(tmp_path / task, split, rows)
    recipe["data"] = {task: str(tmp_path / task) for task in tasks}
    (directory / "recipe.json").write_text(json.dumps(recipe))
    for wording in ("same", "harness"):
        for name in ("dense", "pruned", "healed"):
            stage(name, wording, tasks)
        for name in ("dense_tuned", "tuned"):
            for task in tasks if wording == "same" else tasks[:1]:
                stage(name, wording, [task], task)
    assert lab.main(["--run", str(directory)]) == 0
    page = lab.PAGE.read_text(encoding="utf-8")
    assert "was interrupted before it had scored the other wording" in page
    assert "In the tuned wording" in page
    assert "In lm_eval's wording:" not in page
    assert "| tuned | 50.00 | 100.00 |" in page
