"""What is written as ONNX computes in ONNX Runtime as in transformers, with and without a cache."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from tailored_llama.checkpoint import open_weights
from tailored_llama.errors import OutputError, TailorError
from tailored_llama.families import LayerWidths, head_dim, widths
from tailored_llama.stages.export.formats import onnx
from tailored_llama.stages.export.formats.onnx import write_onnx
from tests.support.pico import ODD, WINDOW, layered, pico

TOLERANCE = 1e-4


def session_of(directory: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="no ONNX Runtime: pip install 'tailored-llama[onnx]'")
    return runtime.InferenceSession(directory / "model.onnx")


def cache_names(layers: int, prefix: str) -> list[str]:
    return [f"{prefix}.{layer}.{state}" for layer in range(layers) for state in ("key", "value")]


def check_names(session: Any, config: PreTrainedConfig) -> None:
    """Names and extents are those that docs/guide/export.md documents, whatever the exporter calls them."""
    inputs = {value.name: value.shape for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    layers = int(config.num_hidden_layers)
    assert list(inputs) == ["input_ids", "position_ids", *cache_names(layers, "past_key_values")]
    assert list(outputs) == ["logits", *cache_names(layers, "present")]
    assert inputs["input_ids"] == inputs["position_ids"] == ["batch", "new"]
    assert outputs["logits"] == ["batch", "new", config.vocab_size]
    for layer, width in enumerate(widths(config)):
        for state in ("key", "value"):
            own = [width.kv_heads, head_dim(config)]
            assert inputs[f"past_key_values.{layer}.{state}"] == ["batch", own[0], "past", own[1]]
            found = outputs[f"present.{layer}.{state}"]
            assert [found[0], found[1], found[3]] == ["batch", *own]
            assert sorted(found[2].split(" + ")) == ["new", "past"]


def step(session: Any, ids: torch.Tensor, past: list[Any] | None = None) -> tuple[torch.Tensor, list[Any]]:
    """Logits [batch, new, vocab] and the cache, after `ids` [batch, new] that follow `past`."""
    shapes = {value.name: value.shape for value in session.get_inputs()}
    names = cache_names(len(shapes) // 2 - 1, "past_key_values")
    past = past or [np.zeros((len(ids), shapes[n][1], 0, shapes[n][3]), np.float32) for n in names]
    start = past[0].shape[2]
    positions = np.arange(start, start + ids.shape[1])[None].repeat(len(ids), 0)
    feed = {"input_ids": ids.numpy(), "position_ids": positions}
    logits, *after = session.run(None, feed | dict(zip(names, past, strict=True)))
    return torch.from_numpy(logits), after


def check(model: PreTrainedModel, directory: Path) -> None:
    session = session_of(directory)
    check_names(session, model.config)
    torch.manual_seed(0)
    prompt = torch.randint(3, int(model.config.vocab_size), (3, 11))
    following = torch.randint(3, int(model.config.vocab_size), (3, 4))
    with torch.no_grad():
        wanted = model(torch.cat([prompt, following], 1)).logits
    first, cache = step(session, prompt)
    then, _ = step(session, following, cache)
    assert (torch.cat([first, then], 1) - wanted).abs().max() < TOLERANCE


@pytest.mark.parametrize("form", ["plain", "shaped"])
def test_both_forms_in_onnx_runtime(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="no exporter: pip install 'tailored-llama[onnx]'")
    model = layered(ODD if form == "shaped" else [LayerWidths(6, 3, 37)] * 2)
    write_onnx(open_weights(model), tmp_path)
    assert capsys.readouterr().out == ""
    assert AutoConfig.from_pretrained(tmp_path).model_type == model.config.model_type
    check(model, tmp_path)


def test_layers_with_and_without_a_window(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="no exporter: pip install 'tailored-llama[onnx]'")
    model = pico("qwen2", num_hidden_layers=2, rope_theta=1e6, **WINDOW)
    write_onnx(open_weights(model), tmp_path)
    check(model, tmp_path)  # the prompt is longer than the window, and so is what follows it
    assert json.loads((tmp_path / "config.json").read_text())["rope_theta"] == 1e6


def test_a_disk_without_room_is_reported_before_tracing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def traced(model: object) -> None:
        raise AssertionError("traced")

    monkeypatch.setattr(onnx, "_traced", traced)
    weights = open_weights(layered([LayerWidths(6, 3, 37)] * 2))
    free = shutil.disk_usage(tmp_path)._replace(free=onnx.onnx_bytes(weights) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(OutputError, match=rf"{tmp_path}: needs [\d.]+ MB, [\d.]+ MB are free"):
        write_onnx(weights, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_meanwhile_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_ir = pytest.importorskip("onnx_ir", reason="no exporter: pip install 'tailored-llama[onnx]'")

    def save(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(onnx, "_traced", lambda model: SimpleNamespace(graph=None))
    monkeypatch.setattr(onnx, "_fix_names", lambda graph: None)
    monkeypatch.setattr(onnx_ir, "save", save)
    with pytest.raises(OutputError, match=rf"{tmp_path}: the disk is full"):
        write_onnx(open_weights(layered([LayerWidths(6, 3, 37)])), tmp_path)


def test_without_the_extra_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    with pytest.raises(TailorError, match=r"onnxscript.*tailored-llama\[onnx\]"):
        write_onnx(open_weights(layered([LayerWidths(1, 1, 4)])), tmp_path)
    assert not list(tmp_path.iterdir())
