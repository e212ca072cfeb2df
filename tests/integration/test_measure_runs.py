"""`tailor measure` with its real processes: transformers and llama.cpp, dense beside pruned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.families import LayerWidths
from tests.support.pico import ODD, layered

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install 'tailored-llama[llamacpp]'")


def test_dense_beside_pruned_in_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layered([LayerWidths(8, 4, 96)] * 3, vocabulary=64).save_pretrained(tmp_path / "dense")
    layered(ODD, vocabulary=64).save_pretrained(tmp_path / "cut")
    command = ["measure", str(tmp_path / "dense"), str(tmp_path / "cut"), "--batch", "1,3", "--repeats", "1"]
    more = ["--backend", "transformers,llama.cpp", "--length", "20", "--new", "6", "--threads", "1", "--json"]
    assert execute([*command, *more]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert len(measured["models"]) == 2
    for model in measured["models"]:
        assert [(s["backend"], s["dtype"], s["batch"]) for s in model["speeds"]] == [
            ("transformers", "float32", 1), ("transformers", "float32", 3),
            ("llama.cpp", "f16", 1), ("llama.cpp", "f16", 3),
        ]  # fmt: skip
        for speed in model["speeds"]:
            assert speed["prefill_tokens_per_second"] * speed["first_token_seconds"] == pytest.approx(
                20 * speed["batch"]
            )
            assert speed["decode_tokens_per_second"] > 0
        torch_memory, llama_memory = (model["speeds"][place]["peak_memory"] for place in (0, 2))
        assert llama_memory < torch_memory, "llama.cpp's process holds no torch"


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layered(ODD, vocabulary=64).save_pretrained(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    capsys.readouterr()
    assert execute(["measure", str(tmp_path / "cut")]) == 2
    output = capsys.readouterr()
    assert "model.safetensors" in output.err
    assert len(output.err.splitlines()) == 1
