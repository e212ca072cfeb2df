"""Out of memory, of the device or of the host, is one line that names the key to lower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaModel

from tailored_llama import evaluate, export, heal, prune, run, tune
from tailored_llama.cli import execute
from tailored_llama.errors import DataError, DivergedError, MemoryLimitError
from tailored_llama.memory import describe, memory_for, out_of_memory
from tailored_llama.recipe import Heal, Tune
from tailored_llama.workflows import sweep
from tests.support.pico import worded
from tests.support.tasks import ROWS, write_split
from tests.support.tokenizers import tokenizer

CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2"
CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 400000000000 bytes. Error code 12 (Cannot allocate memory)"  # noqa: E501
KINDS: list[tuple[Exception, str]] = [
    (torch.OutOfMemoryError(CUDA), "the GPU is out of memory (20.00 GiB more were needed)"),
    (RuntimeError(CPU), "this machine is out of memory (400 GB more were needed)"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), "this machine"),
    (RuntimeError("CUDA error: out of memory"), "the GPU is out of memory"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "the GPU"),
    (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "out of memory"),
    (MemoryError(), "this machine is out of memory"),
    (MemoryError("Unable to allocate 7.28 TiB for an array"), "7.28 TiB more were needed"),
    (OSError(12, "Cannot allocate memory"), "this machine is out of memory"),
]  # fmt: skip


def real(size: int = 10**15) -> None:
    torch.empty(size)


@pytest.mark.parametrize(("error", "output"), KINDS, ids=lambda value: str(value)[:30])
def test_every_kind_of_it_is_known(error: Exception, output: str) -> None:
    assert out_of_memory(error)
    assert output in describe(error)
    with pytest.raises(MemoryLimitError) as caught, memory_for("tune", "lower tune.batch_size"):
        raise error
    assert str(caught.value) == f"tune: {describe(error)}; lower tune.batch_size"


def test_what_the_allocators_really_raise() -> None:
    for attempt in (real, lambda: np.empty(10**15), lambda: bytearray(2**62)):
        with pytest.raises(MemoryLimitError, match="out of memory"), memory_for("a", "b"):
            attempt()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes do not fit"), ValueError("out of memory"), DataError("corpus out of memory: none"),
     OSError(28, "No space left"), DivergedError("tuning stopped")],
)  # fmt: skip
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not out_of_memory(error)
    with pytest.raises(type(error)) as caught, memory_for("a", "b"):
        raise error
    assert caught.value is error


def test_the_inner_block_names_its_own_key() -> None:
    @memory_for("outer", "lower outer.key")
    def work() -> None:
        """Work."""
        with memory_for("inner", "lower inner.key"):
            real()

    assert work.__doc__ == "Work."
    with pytest.raises(MemoryLimitError, match=r"^inner: .* out of memory .*; lower inner\.key$"):
        work()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    worded().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    for split in ("train", "validation"):
        rows = [{**ROWS["boolq"], "passage": f"{split} {i}.", "label": i % 2} for i in range(8)]
        write_split(tmp_path / "rows", split, rows)
    return {"boolq": str(tmp_path / "rows")}


def no_room(*_: Any, **__: Any) -> None:
    raise torch.OutOfMemoryError(CUDA)


@pytest.mark.parametrize("verb", ["evaluate", "tune", "heal", "prune", "export"])
def test_every_stage_names_what_to_lower(
    verb: str, model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(LlamaModel, "forward", no_room)
    monkeypatch.setattr("tailored_llama.stages.prune.stage.plan_units", no_room)
    monkeypatch.setattr("tailored_llama.checkpoint.write._write_shards", no_room)
    calls: dict[str, tuple[Callable[[], Any], str]] = {
        "evaluate": (
            lambda: evaluate(model, tasks=["boolq"], data=data, out=out),
            "lower evaluate.batch_size, evaluate.fewshot or evaluate.length",
        ),
        "tune": (
            lambda: tune(model, task="boolq", data=data, shots=4, out=out),
            "lower tune.batch_size or tune.lora.r",
        ),
        "heal": (
            lambda: heal(
                model, teacher=model, tasks="boolq", data=data, settings=Heal(texts=4), out=out,
                shots=Tune(shots=4, prompt="harness"),
            ),
            "lower heal.batch_size, heal.length or heal.lora.r",
        ),
        "prune": (
            lambda: prune(model, ratio=0.3, criterion="l2", out=out), "lower prune.calibration.samples or"
        ),
        "export": (lambda: export(model, out=out), "use a machine with more memory"),
    }  # fmt: skip
    call, output = calls[verb]
    with pytest.raises(MemoryLimitError, match=rf"^{verb}: the GPU is out of memory \(20\.00 GiB") as caught:
        call()
    assert output in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert not left


def test_the_command_line_says_it_in_one_line(
    model: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LlamaModel, "forward", lambda *_, **__: real())
    assert execute(["evaluate", str(model), "--tasks", "boolq", "--set", f"data={json.dumps(data)}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tailor: evaluate: this machine is out of memory")
    # What no stage is about.
    monkeypatch.setattr("tailored_llama.stages.prune.criterion.known_criteria", no_room)
    assert execute(["criteria"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == (
        "tailor: the GPU is out of memory (20.00 GiB more were needed); use a smaller model, or a machine "
        "with more memory"
    )


def test_in_a_sweep_it_is_a_failed_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [
        MemoryLimitError("tune: out of memory; lower tune.batch_size"),
        DivergedError("the loss is nan"),
    ]
    left = iter(errors)

    def failing(*_: Any, **__: Any) -> None:
        raise next(left)

    monkeypatch.setattr(sweep, "tailor", failing)
    monkeypatch.setattr("tailored_llama.workflows.sweep.outlook.try_measure", lambda *_, **__: None)
    recipe = {
        "model": "world", "tasks": ["world_boolq"], "prune": {"criterion": "l2"}, "tune": {"shots": 6},
        "sweep": {"tune.loss": ["answer", "choice"]},
    }  # fmt: skip
    with pytest.raises(MemoryLimitError, match="all cells failed; the first error: tune: out of memory"):
        run(recipe, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [*document["failed"].values()] == [str(error) for error in errors]


def test_a_key_makes_evaluation_smaller(model: Path, data: dict[str, str]) -> None:
    together = evaluate(model, tasks=["boolq"], data=data)
    alone = evaluate(model, tasks=["boolq"], data=data, batch_size=1)
    assert together["tasks"]["boolq"]["acc"] == alone["tasks"]["boolq"]["acc"]
