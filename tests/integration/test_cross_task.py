"""The cross-prompt experiment on a pico model: its cells are those of separate stages, none is made twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import evaluate
from tailored_llama.cli import execute
from tailored_llama.results import MatrixResults, parse
from tailored_llama.workflows.cross_task import matrix
from tests.support.pico import worded
from tests.support.tasks import ROWS, write_split
from tests.support.tokenizers import tokenizer

GENERAL = [{"instruction": f"Say {n}.", "input": "" if n % 2 else "Now.", "output": f"{n}"} for n in range(6)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("matrix")
    worded().save_pretrained(root / "model")
    tokenizer().save_pretrained(root / "model")
    for name, text in (("boolq", "passage"), ("piqa", "goal")):
        for split in ("train", "validation"):
            rows = [ROWS[name] | {text: f"{split} {i} {ROWS[name][text]}", "label": i % 2} for i in range(6)]
            write_split(root / name, split, rows)
    (root / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GENERAL))
    return {
        "model": str(root / "model"), "tasks": ["boolq", "piqa"],
        "data": {name: str(root / name) for name in ("boolq", "piqa")},
        "prune": {"ratio": 0.1, "criterion": "l2", "calibration": {"source": "world"}},
        "tune": {"shots": 4, "epochs": 2, "batch_size": 4, "learning_rate": 0.01, "precision": "fp32"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MatrixResults]:
    out = tmp_path_factory.mktemp("out") / "matrix"
    return out, matrix(recipe, out, general=general_of(recipe))


def general_of(recipe: dict[str, Any]) -> Path:
    return Path(recipe["model"]).parent / "general.jsonl"


def test_every_cell_is_that_adapter_on_that_task(
    finished: tuple[Path, MatrixResults], recipe: dict[str, Any]
) -> None:
    out, found = finished
    assert list(found.cells) == ["untuned", "boolq", "piqa", "general"]
    assert found.columns == ["boolq", "piqa"]
    for row, cells in found["cells"].items():
        for column, figures in cells.items():
            assert figures["prompt"] == found["tuned_in"][column]
            alone = evaluate(
                out / "prune", adapter=None if row == "untuned" else out / f"tune-{row}", tasks=[column],
                prompts={column: figures["prompt"]}, data=recipe["data"],
            )["tasks"][column]  # fmt: skip
            assert figures == alone
        assert found["means"][row] == pytest.approx((cells["boolq"]["main"] + cells["piqa"]["main"]) / 2)
    own = found["cells"]["boolq"]["boolq"]["main"] + found["cells"]["piqa"]["piqa"]["main"]
    foreign = found["cells"]["boolq"]["piqa"]["main"] + found["cells"]["piqa"]["boolq"]["main"]
    assert (found["diagonal"], found["beside"]) == pytest.approx((own / 2, foreign / 2))
    shots = json.loads((out / "tune-general" / "shots.json").read_text())
    assert (shots["task"], shots["prompt"], len(shots["rows"])) == ("general", "instruct", 4)


def test_it_is_shown(finished: tuple[Path, MatrixResults], recipe: dict[str, Any],
                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    out, found = finished
    assert parse(MatrixResults, "matrix.json", json.loads((out / "matrix.json").read_text())) == found
    assert (out / "matrix.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "matrix.html").read_text()
    for expected in ("<svg", "on general instructions:", "tuned on", "chance", "scored in"):
        assert expected in page
    assert "http://www.w3.org" in page
    assert "src=" not in page
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/manifest.json")}
    file = out.parent / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    command = ["matrix", str(file), "--out", str(out), "--general", str(general_of(recipe))]
    assert execute(command) == 0
    printed = capsys.readouterr().out
    assert "Tuned on the row, tested on the column" in printed
    assert "untuned" in printed
    assert execute([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == found.to_json()["cells"]
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/manifest.json")} == made


def test_a_lost_cell_is_made_again_alone(
    finished: tuple[Path, MatrixResults], recipe: dict[str, Any]
) -> None:
    out, found = finished
    lost = out / "cell-piqa-boolq"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/manifest.json") if path.parent != lost}
    for path in lost.iterdir():
        path.unlink()
    lost.rmdir()
    assert matrix(recipe, out, general=general_of(recipe))["cells"] == found["cells"]
    assert (lost / "manifest.json").is_file()
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/manifest.json") if p.parent != lost} == before


def test_what_stops_a_matrix_is_said_before_it_begins(
    recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    (tmp_path / "few.jsonl").write_text(json.dumps(GENERAL[0]))
    out = tmp_path / "out"
    for more, printed in (
        ([], "--general FILE.jsonl"),
        (["--general", str(tmp_path / "nowhere.jsonl")], "nowhere.jsonl"),
        (["--general", str(tmp_path / "few.jsonl")], "4 shots requested, but"),
    ):
        assert execute(["matrix", str(file), "--out", str(out), *more]) == 2
        assert printed in capsys.readouterr().err
        assert not out.exists()
