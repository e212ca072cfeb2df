"""The benchmark of `prompt: auto`: its arithmetic on made-up answers, and a tiny run of the whole of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import ROOT
from tests.support.pico import worded
from tests.support.tasks import ROWS, write_split
from tests.support.tokenizers import tokenizer

PATH = ROOT / "benchmarks" / "prompt_auto.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prompt_auto", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_arms_and_differences(bench: ModuleType) -> None:
    right = {
        "a": {"x": [[1, 1, 0, 0], [1, 0, 0, 0]], "y": [[1, 1, 1, 0], [0, 0, 0, 0]]},
        "b": {"x": [[1, 0], [1, 1]], "z": [[0, 0], [0, 0]]},
    }
    picks = {"untuned": {"a": ["y", "x"], "b": ["x", "z"]}}
    found = bench.summary(right, picks)
    means = {name: entry["value"] for name, entry in found["means"].items()}
    assert means == pytest.approx(
        {
            "auto (untuned)": ((3 / 4 + 1 / 4) / 2 + (1 / 2 + 0) / 2) / 2,
            "always x": (3 / 8 + 3 / 4) / 2,
            "best in hindsight": (3 / 8 + 3 / 4) / 2,
            "mean wording": ((3 / 8 + 3 / 8) / 2 + 3 / 8) / 2,
        }
    )
    assert found["tasks"]["auto (untuned)"] == pytest.approx({"a": 0.5, "b": 0.25})
    gap = found["differences"]["auto (untuned)"]["always x"]
    assert gap["value"] == pytest.approx(means["auto (untuned)"] - means["always x"])
    assert gap["low"] <= gap["value"] <= gap["high"]
    text = bench.table(found, "Words.", "command")
    assert "| always x | 37.5 | 75.0 | 56.2 (" in text
    assert text.splitlines()[4].count("|") == text.splitlines()[6].count("|")


def test_a_table_goes_between_the_marks(bench: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    bench.write("new\n", page)
    assert page.read_text() == f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="no place for the table"):
        bench.write("new\n", page)


TASK = """
extends: boolq
name: short
source: {files: .}
prompts:
  one: {context: "{{ passage }} {{ question }}?"}
  two: {context: "{{ question }}"}
"""


def test_the_whole_of_it_and_again(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worded().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    for split in ("train", "validation", "test"):
        rows = [ROWS["boolq"] | {"passage": f"{split} {i}.", "label": i % 2} for i in range(6)]
        write_split(tmp_path / "short", split, rows)
    (tmp_path / "short" / "short.yaml").write_text(TASK)
    recipe = {
        "model": str(tmp_path / "model"), "tasks": [str(tmp_path / "short" / "short.yaml")],
        "prune": {"ratio": 0.1, "criterion": "l2", "calibration": {"source": "world"}},
        "tune": {"shots": 4, "epochs": 1, "batch_size": 4, "learning_rate": 0.01, "precision": "fp32"},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    page = tmp_path / "page.md"
    page.write_text(f"{bench.BEGIN}\n{bench.END}\n")
    command = [
        "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out"), "--seeds", "2",
        "--limit", "4", "--split", "test", "--write", str(page),
    ]  # fmt: skip
    found = bench.main(command)
    assert found["picks"].keys() == {"untuned", "tuned"}
    assert all(len(seeds) == 2 for way in found["picks"].values() for seeds in way.values())
    assert set(found["picks"]["tuned"]["short"]) <= {"one", "two"}
    # The split asked for stands where the scored one (of boolq, validation) stood.
    rows = (tmp_path / "out" / "rows-short-test" / "validation.jsonl").read_text()
    assert "test 0." in rows
    assert "validation 0." not in rows
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/manifest.json")}
    assert len(made) == 1 + 2 * (2 * 2 + 2)
    capsys.readouterr()
    assert bench.main(command) == found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/manifest.json")} == made
    assert "| always one |" in page.read_text()
    assert "python benchmarks/prompt_auto.py --recipe" in page.read_text()
