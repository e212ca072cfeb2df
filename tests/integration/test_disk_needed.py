"""The disk that a run needs is printed before it starts, to a factor of 1.5; with less it does not start."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import checkpoint, run
from tailored_llama.errors import OutputError
from tailored_llama.recipe import load_recipe
from tailored_llama.stage import Store
from tailored_llama.workflows.course import course_of
from tailored_llama.workflows.disk import Need, needed, size_of
from tailored_llama.workflows.outlook import outlook, start
from tailored_llama.workflows.workload import Workload
from tests.support.runs import make_inputs, recipe

TUNE = {
    "shots": 4, "epochs": 1, "batch_size": 4, "prompt": "plain", "precision": "fp32", "loss": "distill",
    "distill": {"texts": 20, "length": 8},
}  # fmt: skip


def small(folder: Path, **changes: Any) -> dict[str, Any]:
    heal = {"texts": 120, "length": 8, "epochs": 1, "precision": "fp32"}
    task = [str(folder / "mood" / "mood.yaml")]
    return recipe(folder, **{"tasks": task, "heal": heal, "tune": TUNE, "export": {"formats": []}, **changes})


def need_of(content: dict[str, Any]) -> Need:
    settled = load_recipe(content)
    return needed(Workload(settled), course_of(settled).steps)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return make_inputs(tmp_path / "in")


def test_the_estimate_is_near_what_a_run_takes(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, sizes = tmp_path / "run", [0]
    release = Store.release

    def measured(store: Store, **how: Any) -> None:
        sizes.append(size_of(out))
        release(store, **how)

    monkeypatch.setattr(Store, "release", measured)
    caplog.set_level(logging.INFO, logger="tailored_llama")
    need = need_of(small(inputs))
    run(small(inputs), out)
    finished = size_of(out)
    assert need.passing > need.stays / 2, "the teacher's share is seen here"
    assert 1 / 1.5 < need.peak / max(sizes) < 1.5
    assert 1 / 1.5 < need.stays / finished < 1.5
    (line,) = [text for text in caplog.messages if text.startswith("estimate: ")]
    sizes_ = r"disk: about [\d.]+ kB when finished, [\d.]+ MB while it runs; .* are free"
    assert re.fullmatch(rf"estimate: about \d+ (s|min); {sizes_}", line)

    all_kept = need_of(small(inputs, keep="all"))
    assert all_kept.passing == 0
    assert all_kept.peak >= need.peak
    in_formats = need_of(small(inputs, export={"formats": ["hf", "gguf"]}))
    assert in_formats.stays > need.stays


def test_a_run_that_has_no_room_does_not_start(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = need_of(small(inputs)).peak
    monkeypatch.setattr("tailored_llama.checkpoint.disk.free_bytes", lambda _: need - 1)
    with pytest.raises(OutputError, match=r"run: needs [\d.]+ MB, [\d.]+ MB are free; make room"):
        run(small(inputs), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # What an interrupted run has made already needs no further room.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "made").write_bytes(bytes(1000))
    settled = load_recipe(small(inputs))
    ahead = outlook(Workload(settled), course_of(settled).steps, tmp_path / "run")
    start(ahead.line, ahead.need, ahead.there, tmp_path / "run")


@pytest.mark.parametrize("of", ["params", "bytes", "macs", "units"])
def test_less_is_needed_for_a_smaller_model(of: str) -> None:
    heal = {"texts": 1, "length": 2, "rounds": 1}
    sizes = [
        need_of({
            "model": "world", "tasks": ["world_piqa"], "prune": {"ratio": ratio, "of": of}, "heal": heal,
            "tune": {"shots": 2, "prompt": "paper"},
        }).stays
        for ratio in (0.2, 0.6)
    ]  # fmt: skip
    dense = sum(path.stat().st_size for path in checkpoint.resolve("world").glob("*.safetensors"))
    assert 2 * 0.2 * dense < sizes[0] - sizes[1] < 2 * 0.5 * dense
