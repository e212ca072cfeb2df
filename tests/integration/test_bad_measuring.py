"""What cannot be measured, through the real command line: exit code 2, one line, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tailored_llama.cli import execute
from tests.support.pico import saved, worded


@pytest.fixture
def pico(tmp_path: Path) -> Path:
    saved(worded(vocabulary=128, num_hidden_layers=3), tmp_path / "pico")
    save_file({"input_ids": torch.randint(128, (10, 16))}, tmp_path / "tokens.safetensors")
    (tmp_path / "short.txt").write_text("Hardly anything.")
    (tmp_path / "short.jsonl").write_text('{"text": "Hardly anything."}\n' * 20)
    return tmp_path / "pico"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["objective=margin"], ["objective", "margin", "choices", "source: task"]),
        (["objective=margin", "criterion=wanda"], ["objective", "wanda", "gradient"]),
        (["objective=margin", "calibration.source=task"], ["task", "tasks: [NAME]"]),
        (["objective=likelihood"], ["objective", "likelihood"]),
        (["reconstruct=true", "calibration.samples=1"], ["reconstruct", "held-out", "samples"]),
        (["reconstruct=often"], ["reconstruct", "often"]),
        (["precision=fp16"], ["precision", "fp16"]),
        (["criterion=block_influence"], ["block_influence", "whole layers"]),
        (["calibration.samples=11"], ["tokens.safetensors", "11 windows", "[10, 16]"]),
        (["calibration.length=17"], ["tokens.safetensors", "17 tokens", "[10, 16]"]),
    ],
    ids=str,
)
def test_one_line(
    pico: Path, capsys: pytest.CaptureFixture[str], settings: list[str], words: list[str]
) -> None:
    calibration = {"source": pico.parent / "tokens.safetensors", "samples": 10, "length": 16}
    wanted = [f"prune.calibration.{key}={value}" for key, value in calibration.items()]
    wanted += [f"prune.{setting}" for setting in settings]
    output = refused(pico, capsys, wanted)
    assert all(word in output for word in words), output


@pytest.mark.parametrize("name", ["short.txt", "short.jsonl"])
def test_text_that_is_too_short(pico: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """With a tokenizer beside the weights; the number of tokens or rows that are there is said."""
    from tailored_llama import world

    for file in ("tokenizer.json", "tokenizer_config.json"):
        (pico / file).write_bytes((Path(world.model_path()) / file).read_bytes())
    output = refused(pico, capsys, [f"prune.calibration.source={pico.parent / name}"])
    assert name in output
    assert "too short for 10 windows of 64 tokens" in output
    assert "tokens" in output or "rows" in output


def refused(pico: Path, capsys: pytest.CaptureFixture[str], sets: list[str]) -> str:
    """The one line of a pruning that ends with code 2 and leaves the folder as it was."""
    before = sorted(pico.parent.rglob("*"))
    arguments = [part for setting in sets for part in ("--set", setting)]
    assert execute(["prune", str(pico), "--out", str(pico.parent / "out"), *arguments]) == 2
    output = capsys.readouterr().err
    lines = [line for line in output.splitlines() if line.startswith("tailor: ")]
    assert len(lines) == 1
    assert "Traceback" not in output
    assert sorted(pico.parent.rglob("*")) == before
    return lines[0]
