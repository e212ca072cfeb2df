"""Evaluating alone without a prompt: every task in its stock wording, lm_eval's or its first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import evaluate
from tailored_llama.cli import execute
from tailored_llama.data import load_task
from tailored_llama.errors import TaskError
from tailored_llama.reporting.formatting import wording
from tests.support.pico import saved, worded
from tests.support.tasks import ROWS, choice_task, write_split, written_task
from tests.support.tokenizers import tokenizer

MODEL: dict[str, Any] = {"model": worded(), "tokenizer": tokenizer()}


def piqa(folder: Path) -> dict[str, str]:
    return {"piqa": str(write_split(folder, "validation", [ROWS["piqa"]] * 2))}


def test_a_task_without_harness_wording_is_asked_in_its_first(tmp_path: Path) -> None:
    own = choice_task(tmp_path / "own")
    row = evaluate(**MODEL, tasks=[own])
    assert row["tasks"]["choice"]["prompt"] == row["prompt"] == "plain"
    assert row["tasks"] == evaluate(**MODEL, tasks=[own], prompt="plain")["tasks"]
    assert load_task(own).stock == "plain"
    assert evaluate(**MODEL, tasks=[written_task(tmp_path / "written")])["prompt"] == "plain"


def test_each_task_has_its_own_stock_wording(tmp_path: Path) -> None:
    own, data = choice_task(tmp_path / "own"), piqa(tmp_path / "piqa")
    row = evaluate(**MODEL, tasks=[own, "piqa"], data=data)
    assert {name: figures["prompt"] for name, figures in row["tasks"].items()} == {
        "choice": "plain", "piqa": "harness",
    }  # fmt: skip
    assert row["prompt"] == "stock"
    assert wording("stock").startswith("In each task's stock wording")
    assert evaluate(**MODEL, tasks=["piqa"], data=data)["prompt"] == "harness"
    assert evaluate(**MODEL)["prompt"] == "harness"  # no task: nothing is asked


def test_a_wording_that_is_named_is_never_replaced(tmp_path: Path) -> None:
    own = choice_task(tmp_path / "own")
    for prompt in ("harness", "palin"):
        with pytest.raises(TaskError, match=f"task choice has no prompt '{prompt}'.*it has: plain, bare"):
            evaluate(**MODEL, tasks=[own], prompt=prompt)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(saved(worded(), tmp_path / "model", tokenizer()))
    own, data = str(choice_task(tmp_path / "own")), piqa(tmp_path / "piqa")
    assert execute(["evaluate", model, "--tasks", own, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["prompt"] == "plain"
    command = ["evaluate", model, "--tasks", f"{own},piqa", "--set", f"data={json.dumps(data)}"]
    assert execute([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["prompt"] == "stock"
    assert execute(command) == 0
    assert "In each task's stock wording" in " ".join(capsys.readouterr().out.split())
    assert execute([*command, "--prompt", "harness"]) == 2
    assert "task choice has no prompt 'harness'" in capsys.readouterr().err
