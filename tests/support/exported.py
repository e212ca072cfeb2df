"""Tuned and pruned directories as runs leave them, made by hand for the tests of export."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from tailored_llama.checkpoint import load_model, open_weights, weights_digest, write_json
from tests.support.pico import saved

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHOTS = {
    "task": "boolq", "prompt": "cloze", "rows": [3, 1, 4],
    "example": {"context": "Is water wet? Answer:", "answer": " yes"},
}  # fmt: skip


def tuned(base: Path, directory: Path) -> Path:
    """A tuned directory as a run has it: a (random) adapter, its base's digest and its shots."""
    adapted = get_peft_model(load_model(base).float(), LoraConfig(r=4, target_modules=TARGETS))
    generator = torch.Generator().manual_seed(2)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    adapted.save_pretrained(str(directory / "adapter"), save_embedding_layers=False)
    write_json(directory / "adapter" / "base.json", {"weights": weights_digest(open_weights(base))})
    write_json(directory / "shots.json", SHOTS)
    return directory


def cut(tmp_path: Path, model: PreTrainedModel, source: str) -> Path:
    directory = saved(model, tmp_path / "pruned")
    plan = {
        "source": {"model": source}, "kept": {}, "params": {"before": 20_000, "after": 15_000},
        "settings": {"criterion": "taylor"},
    }  # fmt: skip
    write_json(directory / "plan.json", plan)
    return directory
