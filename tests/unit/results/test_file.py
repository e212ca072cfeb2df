"""A results.json that is not one is refused with its key, before anything is made of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.checkpoint import read_json
from tailored_llama.errors import CheckpointError
from tailored_llama.reporting.read import read_run
from tailored_llama.results import Results
from tailored_llama.results import read_results as check
from tailored_llama.stages.export import export

FIGURES = {"acc": 0.5, "main": 0.5, "stderr": None, "chance": 0.5, "n": 4, "cut": 0}
WHOLE: dict[str, Any] = {
    "rows": [{
        "stage": "dense", "task_tuned": None, "params": 10, "macs": 20, "tasks": {"boolq": FIGURES},
        "prompt": "same", "mean": 0.5, "chance": 0.5, "recovery": 1, "recovery_above_chance": None,
        "perplexity": {"ptb": {"perplexity": 9.5, "length": 128}}, "seconds": 0.1, "peak_memory": 30,
    }],
    "recipe": {}, "versions": {},
}  # fmt: skip


def read_results(path: Path) -> Results:
    return check(path, read_json(path))


def changed(*way: Any, to: Any) -> dict[str, Any]:
    content = copy.deepcopy(WHOLE)
    place = content
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = to
    return content


def test_a_whole_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(WHOLE))
    assert read_results(tmp_path / "results.json").to_json() == WHOLE


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("rows",), []),
        (("rows",), {}),
        (("rows", 0), "silu"),
        (("rows", 0), None),
        (("rows", 0, "tasks"), []),
        (("rows", 0, "tasks", "boolq"), 0.5),
        (("rows", 0, "tasks", "boolq", "main"), "0.5"),
        (("rows", 0, "tasks", "boolq", "main"), float("nan")),
        (("rows", 0, "params"), "10"),
        (("rows", 0, "mean"), {}),
        (("rows", 0, "perplexity", "ptb", "length"), None),
        (("recipe",), None),
    ],
)
def test_another_is_refused_with_its_key(tmp_path: Path, way: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(changed(*way, to=value)))
    with pytest.raises(CheckpointError, match=rf"results\.json: {'.'.join(map(str, way))}"):
        read_results(path)
    with pytest.raises(CheckpointError, match=r"results\.json: "):
        read_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"results\.json: "):
        export("world", out=tmp_path / "out", results=path)
    assert not (tmp_path / "out").exists()


def test_json_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_json(tmp_path / "config.json")
