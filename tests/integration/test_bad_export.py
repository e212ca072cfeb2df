"""Bad input to export through the real command line: exit code 2, one line, nothing left behind."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import pre_tokenizers

from tailored_llama.families import LayerWidths
from tests.support.pico import ODD, layered
from tests.support.refusals import Say
from tests.support.tokenizers import byte_level


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A pico checkpoint with widths that fit no block, and a tokenizer that llama.cpp knows."""
    layered(ODD).save_pretrained(tmp_path / "model")
    byte_level(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("form", ["hf", "gguf", "onnx"])
def test_a_directory_that_is_no_checkpoint(say: Say, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.txt").write_text("Dear reader")
    output = say("export", folder, "--to", form, "--out", tmp_path / "out")
    assert "letters has no config.json" in output
    assert "name a checkpoint directory" in output


def test_an_adapter_alone(say: Say, tmp_path: Path) -> None:
    (tmp_path / "tuned" / "adapter").mkdir(parents=True)
    assert "contains only an adapter" in say("export", tmp_path / "tuned", "--out", tmp_path / "out")


def test_a_quantisation_whose_rows_do_not_fit(say: Say, model: Path, tmp_path: Path) -> None:
    output = say("export", model, "--to", "gguf", "--dtype", "q8_0", "--out", tmp_path / "model.gguf")
    assert "rows of 48 do not fit q8_0, which takes multiples of 32" in output
    assert "f16, bf16 and f32 fit" in output
    assert "`align`" in output


def test_a_quantisation_that_is_not_there(say: Say, model: Path, tmp_path: Path) -> None:
    output = say("export", model, "--to", "gguf", "--dtype", "q4_k", "--out", tmp_path / "model.gguf")
    assert "no dtype 'q4_k'" in output
    assert "q8_0" in output


@pytest.mark.parametrize("out", ["model.gguf", "folder"])
def test_a_tokenizer_without_a_pre_tokenizer_in_llama_cpp(
    say: Say, model: Path, tmp_path: Path, out: str
) -> None:
    byte_level(
        model, pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False)])
    )
    output = say("export", model, "--to", "gguf", "--out", tmp_path / out)
    assert "llama.cpp has no pre-tokenizer like its Punctuation + ByteLevel" in output
    assert "export to hf instead" in output


@pytest.mark.parametrize(("form", "out"), [("hf", "out"), ("gguf", "model.gguf"), ("gguf", "out")])
def test_no_space_on_the_disk(
    say: Say, tmp_path: Path, form: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layered([LayerWidths(4, 2, 64)]).save_pretrained(tmp_path / "model")
    byte_level(tmp_path / "model")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    output = say("export", tmp_path / "model", "--to", form, "--out", tmp_path / out)
    assert "free" in output
    assert "another disk" in output


def test_an_output_that_holds_something_else(say: Say, model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.gguf").write_text("mine")
    assert "is not a GGUF file" in say("export", model, "--to", "gguf", "--out", tmp_path / "thesis.gguf")
