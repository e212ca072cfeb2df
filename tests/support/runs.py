"""Inputs and a recipe of runs that take seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tailored_llama import world
from tests.support.pico import saved, worded

TASK = """
name: {name}
metric: acc
scored: test
max_length: 64
fields: [text, mood]
options: "['sad', 'happy']"
gold: options.index(mood)
source: {{files: rows}}
prompts:
  plain: {{context: "{{{{ text }}}} It was a day to be"}}
"""
TASKS = ("mood", "weather", "temper")


def make_inputs(folder: Path) -> Path:
    """A random LLaMA of two layers with the world's tokenizer, three tasks with their rows, and a text."""
    source = world.model_path()
    known = json.loads((source / "config.json").read_text())
    model = worded(
        context=128, vocabulary=known["vocab_size"], intermediate_size=96, weights="fresh",
        bos_token_id=known["bos_token_id"], eos_token_id=known["eos_token_id"],
    )  # fmt: skip
    saved(model, folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, folder / "model" / name)
    for number, name in enumerate(TASKS):
        (folder / name / "rows").mkdir(parents=True)
        (folder / name / f"{name}.yaml").write_text(TASK.format(name=name))
        for split, count in (("train", 8), ("test", 4)):
            rows = [
                {"text": f"The {split} {name} of day {number} {i} went by.", "mood": ("sad", "happy")[i % 2]}
                for i in range(count)
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name / "rows" / f"{split}.jsonl").write_text(lines)
    (folder / "story.txt").write_text(world.text("test")[:1500])
    return folder


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "model": str(folder / "model"),
        "tasks": [str(folder / name / f"{name}.yaml") for name in TASKS],
        "prune": {
            "ratio": 0.2,
            "calibration": {"source": str(folder / "story.txt"), "samples": 2, "length": 16},
        },
        "heal": {"texts": 4, "length": 4, "epochs": 1, "precision": "fp32"},
        "tune": {"shots": 4, "epochs": 1, "batch_size": 4, "prompt": "plain", "precision": "fp32"},
        "evaluate": {"perplexity": [str(folder / "story.txt")], "length": 32},
        "export": {"formats": ["hf"]},
        **changes,
    }
