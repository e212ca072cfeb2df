"""One function decides where models are computed; a device that is not there is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tailored_llama import checkpoint
from tailored_llama.cli import execute
from tailored_llama.errors import RecipeError
from tailored_llama.machine import device_named
from tailored_llama.recipe import load_recipe
from tailored_llama.training import base_model
from tailored_llama.training.base_model import computing_dtype
from tests.support.pico import plain, saved

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32


def pretend(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("there", "requested", "chosen"),
    [
        ({}, None, "cpu"), ({}, "auto", "cpu"), ({"gpus": 2}, None, "cuda"), ({"gpus": 2}, "auto", "cuda"),
        ({"gpus": 2}, "cpu", "cpu"), ({"gpus": 2}, "cuda:1", "cuda:1"), ({"gpus": 1}, "cuda", "cuda"),
        ({"mps": True}, "auto", "cpu"), ({"mps": True}, "mps", "mps"),
    ],
)  # fmt: skip
def test_where(there: Any, requested: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, **there)
    assert device_named(requested) == chosen


@pytest.mark.parametrize(
    ("there", "requested", "offered"),
    [
        ({}, "cuda", "use auto or cpu"), ({}, "cuda:0", "use auto or cpu"), ({}, "mps", "use auto or cpu"),
        ({"gpus": 2}, "cuda:2", "use auto or cpu, cuda, cuda:0, cuda:1"), ({}, "tpu", "auto or cpu"),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there(
    there: Any, requested: str, offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, **there)
    with pytest.raises(RecipeError, match=rf"device '{requested}': not on this machine; .*{offered}"):
        device_named(requested)


@pytest.mark.parametrize("written", ["gpu", "cuda1", "cuda:", "cuda:-1", "CPU", "cuda:1000", "", "cpu "])
def test_what_is_no_device_is_refused_in_the_recipe(written: str) -> None:
    with pytest.raises(RecipeError, match="device") as caught:
        load_recipe({"model": "world", "device": written})
    assert "\n" not in str(caught.value)
    assert "cuda:1" in str(caught.value)


VERBS = [
    ["prune", "world", "--out", "{out}"], ["plan", "world", "--out", "{out}.json"],
    ["evaluate", "world", "--tasks", "world_piqa", "--limit", "2"],
    ["tune", "world", "--task", "world_piqa", "--out", "{out}"],
    ["heal", "world", "--teacher", "world", "--tasks", "world_piqa", "--out", "{out}"],
    ["run", "demo", "--out", "{out}"], ["demo", "--out", "{out}"],
    ["prompts", "rank", "world", "world_piqa"], ["measure", "world"],
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_verb_refuses_it_before_it_writes(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    out = tmp_path / "out"
    code = execute([*(part.format(out=out) for part in verb), "--device", "cuda:3"])
    assert code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tailor:")]
    assert len(lines) == 1
    assert "device 'cuda:3': not on this machine" in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stored", "precision", "able", "dtype"),
    [
        (F16, "auto", True, BF16), (F16, "auto", False, F32), (F16, "fp32", True, F32),
        (BF16, "auto", True, BF16), (BF16, "auto", False, F32), (F32, "auto", True, F32),
    ],
)  # fmt: skip
def test_the_dtype_of_training(
    stored: torch.dtype, precision: Any, able: bool, dtype: torch.dtype, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def choose(precision: str, device: torch.device) -> str:
        return "bf16" if precision == "auto" and able else "fp32"

    monkeypatch.setattr(base_model, "choose_precision", choose)
    assert computing_dtype(stored, precision, torch.device("cpu")) == dtype
    model = plain().to(stored)
    for base in (model, saved(model, tmp_path / "base")):
        loaded, of_checkpoint = base_model.load_base(base, precision, "cpu")
        assert (loaded.dtype, of_checkpoint) == (dtype, stored)
        expected = model.get_parameter("model.layers.0.mlp.up_proj.weight").to(dtype)
        assert torch.equal(loaded.get_parameter("model.layers.0.mlp.up_proj.weight"), expected)
    assert model.dtype == stored


def test_a_model_is_loaded_onto_its_device_tensor_by_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Onto the meta device, which holds no values: none is ever made on the host."""
    made: list[int] = []
    empty_like = torch.empty_like

    def counted(tensor: torch.Tensor, **how: Any) -> torch.Tensor:
        made.append(tensor.numel())
        assert torch.device(how["device"]).type == "meta"
        return empty_like(tensor, **how)

    directory = saved(plain(), tmp_path / "base")
    monkeypatch.setattr(torch, "empty_like", counted)
    loaded = checkpoint.load_model(directory, device="meta")
    assert all(parameter.device.type == "meta" for parameter in loaded.parameters())
    assert sum(made) >= sum(parameter.numel() for parameter in loaded.parameters())
