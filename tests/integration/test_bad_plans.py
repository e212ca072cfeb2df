"""Cuts that cannot be had, through the real command line: exit code 2, one line, nothing left behind."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tailored_llama.cli import execute
from tests.support.pico import saved, worded

Say = Callable[..., str]


@pytest.fixture
def pico(tmp_path: Path) -> Path:
    """A random LLaMA with as many KV heads as query heads."""
    saved(
        worded(vocabulary=128, intermediate_size=64, num_hidden_layers=3, num_key_value_heads=4),
        tmp_path / "pico",
    )
    ids = torch.randint(128, (10, 16), generator=torch.Generator().manual_seed(0))
    save_file({"input_ids": ids}, tmp_path / "tokens.safetensors")
    return tmp_path / "pico"


@pytest.fixture
def say(pico: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Prune with these settings, which must fail; return the one line it says. It must leave nothing."""

    def run(*settings: str) -> str:
        home = pico.parent
        before = sorted(home.rglob("*"))
        tokens = f"prune.calibration={{source: {home / 'tokens.safetensors'}, samples: 10, length: 16}}"
        sets = [part for setting in (tokens, *settings) for part in ("--set", setting)]
        assert execute(["prune", str(pico), "--out", str(home / "out"), *sets]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert "Traceback" not in output.err
        assert sorted(home.rglob("*")) == before
        (line,) = [line for line in output.err.splitlines() if line.startswith("tailor: ")]
        return line

    return run


@pytest.mark.parametrize(
    ("settings", "output"),
    [
        (
            ["prune.ratio=0.95", "prune.layers=[1, 2]"],
            "parameters is out of reach: .*(ratio 0.",
        ),
        (
            ["prune.ratio=0.95", "prune.of=macs", "prune.layers=[1, 2]"],
            "multiply-accumulates is out of reach",
        ),
        (["prune.ratio=0.95", "prune.of=bytes", "prune.units=[heads]"], "bytes is out of reach"),
        (["prune.ratio=0.9", "prune.units=[layers]"], "parameters is out of reach"),
        (["prune.ratio=0.6", "prune.floor=0.5"], "out of reach"),
        (["prune.ratio=0.6", "prune.floor=0.5", "prune.of=units"], "prune.floor: 0.5 keeps 32 of 64 mlp"),
        (["prune.floor=1.5"], "prune.floor"),
        (
            ["prune.align=65"],
            "prune.align: 65 is more than the 64 MLP channels of layer 0; choose at most 64",
        ),
        (["prune.align=33", "prune.units=[hidden]"], "prune.align: 33 is more than the 32 residual channels"),
        (["prune.steps=200", "prune.ratio=0.3"], "prune.steps: 200 is more than the 198 steps"),
        (["prune.units=[query_heads]"], "prune.units: this llama has no query_heads to cut"),
        (["prune.units=[neurons]"], "prune.units"),
        (["prune.alike=true", "prune.layers=[0, 2]"], "prune.alike"),
        (["prune.trajectory=[0.2, 0.6]", "prune.ratio=0.5"], "trajectory"),
        (["prune.criterion=block_influence"], "block_influence scores whole layers only"),
        (["prune.criterion=wanda", "prune.units=[hidden]"], "wanda is not defined for residual channels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_had_is_said_in_one_line(say: Say, settings: list[str], output: str) -> None:
    line = say(*settings)
    for part in output.split(".*"):
        assert part in line


def test_what_is_within_reach_is_within_reach(say: Say, pico: Path) -> None:
    line = say("prune.ratio=0.95", "prune.layers=[1, 2]", "prune.criterion=l1")
    reach = line.split("(ratio ")[1].split(")")[0]
    out = pico.parent / "out"
    settings = [f"prune.ratio={reach}", "prune.layers=[1, 2]", "prune.criterion=l1"]
    sets = [part for setting in settings for part in ("--set", setting)]
    assert execute(["prune", str(pico), "--out", str(out), *sets]) == 0
    assert json.loads((out / "plan.json").read_text())["kept"]["mlp"]["1"]


def test_no_room_is_said_before_anything_is_measured(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10_000))
    stage = sys.modules["tailored_llama.stages.prune.stage"]
    monkeypatch.setattr(stage, "plan_units", lambda *_, **__: pytest.fail("measured"))
    assert "10.0 kB are free; make room or name another disk" in say("prune.ratio=0.3")


def test_a_trajectory_through_the_command_line(pico: Path) -> None:
    out, plan = pico.parent / "out", pico.parent / "mine.json"
    settings = ["prune.ratio=0.4", "prune.steps=4", "prune.trajectory=[0.2, 0.3]", "prune.criterion=l1"]
    sets = [part for setting in settings for part in ("--set", setting)]
    assert execute(["prune", str(pico), "--out", str(out), *sets]) == 0
    nested = out / "trajectory"
    assert sorted(path.name for path in nested.iterdir()) == ["plan-0.20.json", "plan-0.30.json"]
    cut = pico.parent / "cut"
    assert execute(["prune", str(pico), "--out", str(cut), "--plan", str(nested / "plan-0.20.json")]) == 0
    params = json.loads((cut / "plan.json").read_text())["params"]
    assert params["after"] / params["before"] == pytest.approx(0.8, abs=0.01)
    assert not (cut / "trajectory").exists()
    assert execute(["plan", str(pico), "--out", str(plan), *sets]) == 0
    assert plan.read_text() == (out / "plan.json").read_text()
    beside = pico.parent / "mine-0.20.json"
    assert beside.read_text() == (nested / "plan-0.20.json").read_text()
