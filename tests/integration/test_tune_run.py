"""Tuning a small real model, plain and pruned, on real rows; what is trained is what is scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tailored_llama import prune, tune
from tailored_llama.checkpoint import load_model, load_tokenizer, load_tuned
from tailored_llama.data import load_task
from tailored_llama.scoring import score

MODEL = "models/stories260K"


def likelihoods(model: object, base: Path, data: Path, prompt: str) -> list[float]:
    task = load_task("piqa")
    examples = task.examples(prompt, task.rows("validation", data)[:12])
    scored = score(model, load_tokenizer(base), examples)
    return [value for question in scored for value in question.loglikelihoods]


@pytest.mark.parametrize("shape", ["plain", "shaped"])
def test_few_shots_of_piqa(shared: Path, tmp_path: Path, shape: str) -> None:
    base, data = shared / MODEL, shared / "data" / "piqa"
    if shape == "shaped":
        base = prune(base, ratio=0.3, of="units", layers=(1, 4), criterion="l2", out=tmp_path / "pruned")
        assert (base / "shaped.py").is_file()
    out = tune(
        base, task="piqa", data={"piqa": str(data)}, out=tmp_path / "tuned",
        shots=16, epochs=6, batch_size=8, learning_rate=5e-3,
    )  # fmt: skip
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"]
    chosen = json.loads((out / "shots.json").read_text())
    assert len(chosen["candidates"]) >= 5
    merged = likelihoods(load_model(out), base, data, chosen["prompt"])
    on_top = likelihoods(load_tuned(base, out), base, data, chosen["prompt"])
    before = likelihoods(load_model(base), base, data, chosen["prompt"])
    assert merged == pytest.approx(on_top, abs=2e-3)
    assert max(abs(a - b) for a, b in zip(merged, before, strict=True)) > 0.1


def test_the_trained_loss_is_minus_the_score_of_the_right_answers(shared: Path, tmp_path: Path) -> None:
    """One step at a rate too small to matter over all shots: its loss is their mean score per token."""
    base, data = shared / MODEL, shared / "data" / "boolq"
    out = tune(
        base, task="boolq", data={"boolq": str(data)}, out=tmp_path / "tuned", prompt="paper", merge=False,
        shots=8, epochs=1, batch_size=8, learning_rate=1e-12, lora={"dropout": 0.0}, precision="fp32",
    )  # fmt: skip
    step = json.loads((out / "history.jsonl").read_text())
    rows = json.loads((out / "shots.json").read_text())
    task, tokenizer = load_task("boolq"), load_tokenizer(base)
    train = task.rows("train", data)
    examples = task.examples("paper", [train[i] for i in rows["rows"]])
    scored = score(load_model(base, dtype=torch.float32), tokenizer, examples)
    tokens = [len(tokenizer.encode(text, add_special_tokens=False)) for text in ("no", "yes")]
    total = sum(question.loglikelihoods[question.gold] for question in scored)
    assert rows["cut"] == sum(question.cut for question in scored)
    assert rows["cut"] > 0, "some passages are longer than this model's context"
    assert step["loss"] == pytest.approx(-total / sum(tokens[label] for label in rows["labels"]), rel=1e-4)
