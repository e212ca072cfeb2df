"""The benchmark of `prompt: auto`, run whole on a pico model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.benchmarks import benchmark
from tests.support.pico import worded
from tests.support.tasks import ROWS, write_split
from tests.support.tokenizers import tokenizer

TASK = """
extends: boolq
name: short
source: {files: .}
prompts:
  one: {context: "{{ passage }} {{ question }}?"}
  two: {context: "{{ question }}"}
"""


def test_the_whole_of_it_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = benchmark("prompt_auto")
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
    # The requested split stands where the scored one (of boolq, validation) stood.
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
