"""Accuracy on the world's rows, per task and wording: `python -m tailored_llama.world.measure DIR`."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch

from tailored_llama.world.splits import TASKS, Split

log = logging.getLogger("tailored_llama.world.measure")


def measure(
    model: Any, tokenizer: Any, split: Split, *, limit: int | None = None, prompts: tuple[str, ...] = ()
) -> dict[str, dict[str, float]]:
    """Task -> wording -> main metric, on the first `limit` rows of `split`."""
    from tailored_llama.scoring import accuracy, score
    from tailored_llama.tasks import load_task

    figures: dict[str, dict[str, float]] = {}
    for name in TASKS:
        task = load_task(f"world_{name}")
        rows = task.rows(split)[:limit]
        figures[name] = {
            prompt: round(accuracy(score(model, tokenizer, task.examples(prompt, rows)), task.metric), 4)
            for prompt in prompts or tuple(task.prompts)
        }
    return figures


def main() -> None:
    """The command line of this module: one JSON line per task, then the means over the tasks."""
    parser = argparse.ArgumentParser(description="Accuracy on the world's tasks, per wording.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--prompt", action="append", default=[], help="only this wording; repeatable")
    parser.add_argument("--write", type=Path, help="JSON file that keeps the figures, by split")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(options.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    figures = measure(model, tokenizer, options.split, limit=options.limit, prompts=tuple(options.prompt))
    for name, row in figures.items():
        log.info("%s", json.dumps({"task": name, **row}))
    wordings = next(iter(figures.values()))
    if options.write:
        known = json.loads(options.write.read_text()) if options.write.exists() else {}
        options.write.write_text(json.dumps({**known, options.split: figures}, indent=1) + "\n")
    means = {w: round(sum(row[w] for row in figures.values()) / len(figures), 4) for w in wordings}
    log.info("%s", json.dumps({"mean": means}))


if __name__ == "__main__":
    main()
