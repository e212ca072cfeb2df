"""The same numbers on a GPU as on the CPU; skipped with a reason where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tailored_llama import checkpoint, evaluate, prune, tune, world
from tailored_llama.recipe import Prune

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none"),
]

SETTINGS = Prune.model_validate(
    {"ratio": 0.3, "calibration": {"source": "world", "samples": 8, "length": 32}}
)


def kept(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_pruning_on_the_gpu_keeps_what_the_cpu_keeps() -> None:
    tokenizer = checkpoint.load_tokenizer("world")
    cut = {
        device: prune(
            checkpoint.load_model("world", device=device), settings=SETTINGS, tokenizer=tokenizer
        )
        for device in ("cpu", "cuda")
    }  # fmt: skip
    assert kept(cut["cpu"]) == kept(cut["cuda"])
    for name, tensor in cut["cpu"].state_dict().items():
        torch.testing.assert_close(cut["cuda"].state_dict()[name].cpu(), tensor)


def test_scores_on_the_gpu_are_those_of_the_cpu() -> None:
    rows = {
        device: evaluate("world", tasks=["world_piqa"], prompt="paper", limit=50, device=device)
        for device in ("cpu", "cuda")
    }
    assert rows["cuda"]["mean"] == pytest.approx(rows["cpu"]["mean"], abs=0.021)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tuning_on_the_gpu_learns(tmp_path: Path, precision: str) -> None:
    out = tune(
        world.model_path(), task="world_piqa", out=tmp_path / precision, device="cuda",
        shots=16, epochs=3, learning_rate=1e-3, batch_size=8, prompt="instruct", precision=precision,
    )  # fmt: skip
    lines = (Path(str(out)) / "history.jsonl").read_text().splitlines()
    assert len(lines) == 6
