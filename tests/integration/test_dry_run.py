"""A dry run lists the stages of a run, which exist, and what the rest will take; it writes nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import run
from tailored_llama.cli import execute
from tailored_llama.workflows.outlook import Outlook
from tailored_llama.workflows.run import dry_run
from tailored_llama.workflows.sweep.outlook import SweepOutlook
from tests.support.runs import make_inputs, recipe

STAGES = [
    "prune", "heal", "tune-mood", "tune-dense-mood", "evaluate-dense-same", "evaluate-pruned-same",
    "evaluate-healed-same", "evaluate-dense_tuned-same-mood", "evaluate-tuned-same-mood", "export-hf-mood",
]  # fmt: skip


def one_task(folder: Path, **changes: Any) -> dict[str, Any]:
    return recipe(folder, **{"tasks": [str(folder / "mood" / "mood.yaml")], **changes})


def states(found: Outlook | SweepOutlook) -> dict[str, str]:
    return {stage.name: stage.state for stage in found.stages}


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_before_and_after_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, out = make_inputs(tmp_path / "in"), tmp_path / "run"
    before = dry_run(one_task(folder), out)
    assert not out.exists()
    assert list(states(before)) == STAGES
    known = {name: state for name, state in states(before).items() if not state.startswith("depends on")}
    assert known == dict.fromkeys(["prune", "tune-dense-mood", "evaluate-dense-same"], "to do")
    assert states(before)["heal"] == "depends on prune"
    assert states(before)["export-hf-mood"] == "depends on heal"
    assert before.seconds is not None
    assert all(stage.seconds and stage.bytes for stage in before.stages)

    caplog.set_level(logging.INFO, logger="tailored_llama")
    run(one_task(folder), out)
    lines = [line for line in caplog.messages if line.startswith("stage ")]
    assert [line.split(": ")[1].partition(";")[0] for line in lines] == STAGES
    assert all(" left" in line for line in lines)
    written = files(out)
    after = dry_run(one_task(folder), out)
    assert states(after) == dict.fromkeys(STAGES, "exists")
    assert after.seconds == 0
    assert "nothing to compute" in after.line

    changed = states(dry_run(one_task(folder, tune={**recipe(folder)["tune"], "epochs": 2}), out))
    assert [name for name, state in changed.items() if state == "exists"] == [
        "prune", "heal", "evaluate-dense-same", "evaluate-pruned-same", "evaluate-healed-same",
    ]  # fmt: skip
    assert changed["tune-mood"] == "to do"
    assert changed["evaluate-tuned-same-mood"] == "depends on tune-mood"
    assert files(out) == written


def test_a_stage_that_was_damaged_is_to_do(tmp_path: Path) -> None:
    folder, out = make_inputs(tmp_path / "in"), tmp_path / "run"
    plain = one_task(folder, heal=None, export={"formats": []})
    run(plain, out)
    (out / "prune" / "plan.json").write_text("{}")
    found = dry_run(plain, out)
    assert states(found)["prune"] == "to do"
    assert states(found)["tune-dense-mood"] == "exists"
    assert (out / "prune" / "plan.json").read_text() == "{}"


def test_the_cells_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = make_inputs(tmp_path / "in"), tmp_path / "sweep"
    swept = one_task(folder, heal=None, sweep={"tune.epochs": [1, 2], "seed": [1]})
    found = dry_run(swept, out)
    assert isinstance(found, SweepOutlook)
    assert not out.exists()
    assert [(cell.name, cell.finished, cell.shared) for cell in found.cells] == [
        ("epochs=1,seed=1", False, 0), ("epochs=2,seed=1", False, 3),
    ]  # fmt: skip
    assert "prune" not in [stage.name for stage in found.cells[1].stages], "the first cell has it"
    run(swept, out)
    written = files(out)
    (folder / "sweep.yaml").write_text(json.dumps(swept))
    capsys.readouterr()
    assert execute(["run", str(folder / "sweep.yaml"), "--out", str(out), "--dry-run", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert all(cell["finished"] for cell in printed["cells"])
    assert printed["seconds"] == 0
    assert printed["disk"].keys() == {"finished", "peak", "there", "free"}
    assert {stage["state"] for cell in printed["cells"] for stage in cell["stages"]} == {"exists"}
    assert files(out) == written


def test_what_would_stop_the_run_stops_the_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        execute(["run", "demo", "--set", "tune.shots=9000", "--out", str(tmp_path / "x"), "--dry-run"]) == 2
    )
    assert "9000" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
