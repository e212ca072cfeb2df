"""A run directory made by hand, and what the tests of pages read of one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from tailored_llama.recipe import load_recipe
from tailored_llama.results import Results, Row, StageName, combine
from tests.support.results import assembled, corpus
from tests.support.results import row as made

TASKS = ("world_boolq", "world_piqa")
MEANS = {"dense": 0.9, "dense_tuned": 0.95, "pruned": 0.55, "tuned": 0.81}


def row(stage: StageName, wording: str, tasks: tuple[str, ...], task: str | None = None) -> Row:
    value = MEANS[stage] - (0.1 if wording == "harness" else 0.0)
    return made(
        stage, dict.fromkeys(tasks, value), task_tuned=task, prompt=wording,
        params=2_000_000 if stage.startswith("dense") else 800_000, macs=130_000_000, mean=value,
        seconds=3.0, peak_memory=2**29, perplexity={"world": corpus(8.25)} if wording == "same" else {},
    )  # fmt: skip


def results(tasks: tuple[str, ...] = TASKS) -> Results:
    recipe = load_recipe({"model": "elsewhere/model", "tasks": list(tasks), "evaluate": {"limit": 100}})
    rows = []
    for wording in ("same", "harness"):
        rows += [row("dense", wording, tasks), row("pruned", wording, tasks)]
        for stage in ("dense_tuned", "tuned"):
            own = [row(stage, wording, (task,), task) for task in tasks]
            rows += [*own, combine(own)] if len(own) > 1 else own
    return assembled(rows, recipe)


def write_run(out: Path) -> Path:
    """A run directory as the pipeline leaves it, without weights."""
    (out / "prune").mkdir(parents=True)
    (out / "results.json").write_text(json.dumps(results().to_json()))
    (out / "recipe.json").write_text("{}")
    (out / "prune" / "plan.json").write_text(json.dumps({"source": {"model": "elsewhere/model"}, "kept": {}}))
    config = {
        "model_type": "shaped_llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64,
        "dtype": "bfloat16",
        "layer_widths": [[2, 1, 20], [4, 2, 48]],
    }  # fmt: skip
    (out / "prune" / "config.json").write_text(json.dumps(config))
    for prefix in ("tune", "tune-dense"):
        for task in TASKS:
            folder = out / f"{prefix}-{task}"
            folder.mkdir()
            losses = [(1, 3.0), (1, 2.0), (2, 1.0)]
            lines = [
                json.dumps({"step": i, "epoch": e, "loss": x, "lr": 1e-4, "tokens": 9, "seconds": 0.5})
                for i, (e, x) in enumerate(losses, start=1)
            ]
            (folder / "history.jsonl").write_text("\n".join(lines))
            shots = {
                "task": task, "prompt": "paper", "asked": "auto", "cut": 3,
                "compared": "untuned", "held_out": 0.55, "rows": [4, 2, 0],
                "candidates": [
                    {"prompt": "paper", "accuracy": 0.6, "margin": 0.41, "accuracy_interval": [0.5, 0.7],
                     "margin_interval": [0.2, 0.6], "first": 0.8},
                    {"prompt": "cloze", "accuracy": 0.5, "margin": 0.1, "accuracy_interval": [0.4, 0.6],
                     "margin_interval": [-0.1, 0.3], "first": 0.2},
                ],
                "example": {"context": "Is <b> bold?\nAnswer:", "answer": " yes"},
            }  # fmt: skip
            (folder / "shots.json").write_text(json.dumps(shots))
    return out


class Page(HTMLParser):
    """Tags that must close do, ids are unique, nothing is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "hr", "link", "br", "img"}:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href"}:
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
