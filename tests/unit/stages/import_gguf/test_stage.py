"""`tailor import`: a checkpoint from a GGUF file, and what is refused without leaving anything."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tailored_llama.checkpoint import open_weights
from tailored_llama.cli import execute
from tailored_llama.families import LayerWidths
from tailored_llama.stages.export.gguf import to_gguf
from tests.support.pico import ODD, layered
from tests.support.tokenizers import byte_level

IDS = torch.arange(3, 43).reshape(2, 20)


def written(place: Path, dtype: str, widths: list[LayerWidths] | None = None) -> Path:
    """A GGUF file of our own writer, with a tokenizer."""
    byte_level(place / "tokenizer")
    model = layered(widths or [LayerWidths(8, 4, 64)] * 2)
    return to_gguf(open_weights(model), place / "pico.gguf", tokenizer_dir=place / "tokenizer", dtype=dtype)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.float()(IDS).logits
    return found


def stored_as(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """What is left of a weight in this type; norms stay as they are in q8_0."""
    if kind == "bf16":
        return weight.bfloat16().float()
    if kind == "q8_0" and weight.dim() == 2:
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(weight.numpy(), q8_0), q8_0))
    return weight


@pytest.mark.parametrize(("stored", "dtype"), [("f32", "f32"), ("q8_0", "f32"), ("f32", "bf16")])
def test_the_model_comes_back(
    stored: str, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = written(tmp_path, stored), tmp_path / "out"
    assert execute(["import", str(file), "--out", str(out), "--dtype", dtype, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["checkpoint"] == str(out)
    assert facts["quantization"] == {"f32": "F32", "q8_0": "Q8_0"}[stored]
    model = layered([LayerWidths(8, 4, 64)] * 2)
    kind = stored if stored != "f32" else dtype
    model.load_state_dict({name: stored_as(weight, kind) for name, weight in model.state_dict().items()})
    expected = logits(model)
    assert (logits(AutoModelForCausalLM.from_pretrained(out)) - expected).norm() < 1e-4 * expected.norm()
    text = "The cat didn't sit in 1984."
    ours = AutoTokenizer.from_pretrained(out)(text)["input_ids"]
    assert ours == AutoTokenizer.from_pretrained(tmp_path / "tokenizer")(text)["input_ids"]


def other_architecture(place: Path) -> Path:
    writer = gguf.GGUFWriter(place / "other.gguf", "bert")
    writer.add_tensor("x", torch.zeros(2, 2).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place / "other.gguf"


def cut_off(place: Path, share: float) -> Path:
    file = written(place, "f32")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    return file


def no_gguf(place: Path) -> Path:
    (place / "text.gguf").write_text("not a model\n")
    return place / "text.gguf"


def empty(place: Path) -> Path:
    (place / "empty.gguf").touch()
    return place / "empty.gguf"


REFUSED = {
    "no such file": (lambda place: place / "none.gguf", "No such file"),
    "a directory": (lambda place: place, "Is a directory"),
    "text": (no_gguf, "not a GGUF file"),
    "empty": (empty, "not a GGUF file"),
    "only the header": (lambda place: cut_off(place, 0.01), "truncated"),
    "half of the weights": (lambda place: cut_off(place, 0.6), "truncated"),
    "the last weight": (lambda place: cut_off(place, 0.999), "truncated"),
    "shaped": (lambda place: written(place, "f32", ODD), "deci"),
    "no table": (other_architecture, "bert"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = REFUSED[case]
    file = make(tmp_path)
    there = sorted(tmp_path.iterdir())
    assert execute(["import", str(file), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert str(file) in line
    assert sorted(tmp_path.iterdir()) == there


def test_another_dtype_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = written(tmp_path, "f32"), tmp_path / "out"
    assert execute(["import", str(file), "--out", str(out), "--dtype", "q8_0"]) == 2
    assert "known: bf16, f16, f32" in capsys.readouterr().err
    assert not out.exists()
