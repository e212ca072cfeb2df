"""Scores a model on the world's rows, per task and wording: `python -m tools.world.measure DIR`."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from tailored_llama.strict_json import to_json
from tailored_llama.world import GENERATION, TASKS, Split
from tools.world.splits import CHOICES

log = logging.getLogger("tools.world.measure")
Figures = dict[str, dict[str, float]]
COLUMNS = (
    ("test", "harness"), ("test", "paper"), ("validation", "harness"), ("validation", "paper"),
    ("validation", "cloze"), ("validation", "instruct"), ("validation", "choices"),
)  # fmt: skip


def measure(
    model: Any, tokenizer: Any, split: Split, *, limit: int | None = None, prompts: tuple[str, ...] = ()
) -> Figures:
    """Task -> wording -> main metric, on the first `limit` rows of `split`; default: all wordings."""
    from tailored_llama.data import load_task
    from tailored_llama.scoring import outcomes

    figures: Figures = {}
    for name in TASKS + GENERATION:
        task = load_task(f"world_{name}")
        rows = task.rows(split)[:limit]
        figures[name] = {}
        for prompt in task.prompts:
            if not prompts or prompt in prompts:
                answers = outcomes(model, tokenizer, task, task.examples(prompt, rows), description=name)
                figures[name][prompt] = round(mean(outcome.right for outcome in answers), 4)
    return figures


def means(figures: Figures) -> dict[str, float]:
    """Wording -> mean over the seven multiple-choice tasks."""
    wordings = figures[TASKS[0]]
    return {w: round(mean(figures[name][w] for name in TASKS), 4) for w in wordings}


def table(known: dict[str, Figures]) -> str:
    """The figures in the file of `--write`, as a Markdown table in percent."""
    columns = [
        (split, wording) for split, wording in COLUMNS if wording in known.get(split, {}).get("boolq", {})
    ]
    lines = [
        "| task | chance | " + " | ".join(f"{split}: {wording}" for split, wording in columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for name in (*TASKS, "mean", *GENERATION):
        cells = []
        for split, wording in columns:
            row = means(known[split]) if name == "mean" else known[split][name]
            cells.append(f"{100 * row[wording]:.1f}" if wording in row else "")
        chance = 100 / CHOICES[name] if name in CHOICES else 0.0
        chance = mean(100 / count for count in CHOICES.values()) if name == "mean" else chance
        lines.append(f"| {name} | {chance:.3g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line of this module: one JSON line per task, then the means over multiple-choice tasks."""
    parser = argparse.ArgumentParser(description="Scores on the world's tasks, per wording.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--prompt", action="append", default=[], help="only this wording; repeatable")
    parser.add_argument("--write", type=Path, help="JSON file to store the figures in, by split")
    parser.add_argument("--table", action="store_true", help="print the file of --write, measure nothing")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = json.loads(options.write.read_text()) if options.write and options.write.exists() else {}
    if options.table:
        log.info("%s", table(known))
        return
    torch.set_num_threads(options.threads)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(options.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    figures = measure(model, tokenizer, options.split, limit=options.limit, prompts=tuple(options.prompt))
    for name, row in figures.items():
        log.info("%s", to_json({"task": name, **row}))
    if options.write:
        options.write.write_text(to_json({**known, options.split: figures}, indent=1) + "\n")
    log.info("%s", to_json({"mean": means(figures)}))


if __name__ == "__main__":
    main()
