"""What is written as ONNX computes in ONNX Runtime as in transformers, with and without a cache."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, PreTrainedModel

from gguf_cases import ODD, pico
from tailored_llama.checkpoint import open_weights
from tailored_llama.errors import TailorError
from tailored_llama.families import LayerWidths
from tailored_llama.stages.export.onnx import write_onnx

TOLERANCE = 1e-4


def session_of(directory: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="no ONNX Runtime: pip install 'tailored-llama[onnx]'")
    return runtime.InferenceSession(directory / "model.onnx")


def step(session: Any, ids: torch.Tensor, past: list[Any] | None = None) -> tuple[torch.Tensor, list[Any]]:
    """Logits [batch, new, vocab] and the cache, after `ids` [batch, new] that follow `past`."""
    caches = session.get_inputs()[2:]
    past = past or [np.zeros((len(ids), int(c.shape[1]), 0, int(c.shape[3])), np.float32) for c in caches]
    start = past[0].shape[2]
    positions = np.arange(start, start + ids.shape[1])[None].repeat(len(ids), 0)
    feed = {"input_ids": ids.numpy(), "position_ids": positions}
    logits, *after = session.run(None, feed | {c.name: value for c, value in zip(caches, past, strict=True)})
    return torch.from_numpy(logits), after


def check(model: PreTrainedModel, directory: Path) -> None:
    session = session_of(directory)
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
    model = pico(ODD if form == "shaped" else [LayerWidths(6, 3, 37)] * 2)
    write_onnx(open_weights(model), tmp_path)
    assert capsys.readouterr().out == ""
    assert AutoConfig.from_pretrained(tmp_path).model_type == model.config.model_type
    check(model, tmp_path)


def test_without_the_extra_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    with pytest.raises(TailorError, match=r"onnxscript.*tailored-llama\[onnx\]"):
        write_onnx(open_weights(pico([LayerWidths(1, 1, 4)])), tmp_path)
    assert not list(tmp_path.iterdir())
