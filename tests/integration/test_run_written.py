"""A whole run of two kinds of tasks: one whose answers are written, one whose choices are scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import run
from tests.support.tasks import written_task


def test_a_run_of_both_kinds(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {
        "model": "world", "tasks": [str(written_task(tmp_path / "own")), "world_boolq"],
        "prune": {"ratio": 0.1, "criterion": "l2"},
        "tune": {"shots": 6, "epochs": 16, "batch_size": 6, "learning_rate": 0.005, "precision": "fp32"},
        "evaluate": {"limit": 6},
        "export": {"formats": []},
    }  # fmt: skip
    results = run(recipe, tmp_path / "out")
    tuned = {
        row["stage"]: row for row in results["rows"] if row["task_tuned"] is None and row["prompt"] == "same"
    }
    assert list(tuned) == ["dense", "pruned", "dense_tuned", "tuned"]
    for row in tuned.values():
        written, picked = row["tasks"]["own"], row["tasks"]["world_boolq"]
        assert (written["chance"], picked["chance"], row["chance"]) == (0, 0.5, 0.25)
        assert row["mean"] == pytest.approx((written["f1"] + picked["acc"]) / 2)
        assert "acc" not in written
    # It learns to write one of the two answers, and to end there.
    assert tuned["pruned"]["tasks"]["own"]["f1"] == 0
    assert tuned["tuned"]["tasks"]["own"]["f1"] >= 0.5
    assert tuned["tuned"]["tasks"]["own"]["unended"] == 0
    assert tuned["tuned"]["tasks"]["own"]["samples"][0]["written"] in ("owls", "cats")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "own (F1)" in page
    assert "What was written: own" in page
    assert "mean score" in page
    shots = json.loads((tmp_path / "out" / "tune-own" / "shots.json").read_text())
    assert {entry["prompt"] for entry in shots["candidates"]} == {"plain", "lines"}
