"""What all cases share: a pico model, a task, recipes over them, and undisturbed runs to compare with."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.campaign import child
from tests.campaign.faults import Count

OUT = "disk/out"
TASK = """
name: mood
metric: acc
scored: test
max_length: 64
fields: [text, mood]
options: "['sad', 'happy']"
gold: options.index(mood)
source: {files: .}
prompts:
  plain: {context: "{{ text }} It was a day to be"}
  asked: {context: "Text: {{ text }}\\nAnswer:"}
"""
RECIPE = """
model: model
tasks: [mood/mood.yaml]
prune: {ratio: 0.2, calibration: {source: world, samples: 4, length: 16}}
heal: {texts: 6, length: 8, epochs: 1, precision: fp32}
tune: {shots: 6, epochs: 1, batch_size: 3, precision: fp32}
evaluate: {limit: 8, perplexity: [story.txt], length: 32}
export: {formats: [hf]}
"""
QUICK = """
model: model
tasks: [mood/mood.yaml]
prune: {ratio: 0.2, criterion: l2}
tune: {shots: 4, epochs: 1, batch_size: 4, prompt: plain, precision: fp32}
evaluate: {limit: 4}
"""
SWEEP = QUICK + "sweep: {seed: [1, 2]}\n"
WEATHER = ("The rain ruined", "The sun warmed", "A wind took", "Snow hid")
THINGS = ("our picnic.", "the old bridge.", "her cat.", "my tea.", "the garden.", "two owls.")


@dataclass(frozen=True)
class Job:
    """A command that writes OUT, after the commands `before` that make what it reads."""

    name: str
    arguments: tuple[str, ...]
    before: str = ""
    """The job whose output, renamed to `given`, this one reads."""


JOBS = {
    job.name: job
    for job in (
        Job("run", ("run", "recipe.yaml", "--out", OUT)),
        Job("quick", ("run", "quick.yaml", "--out", OUT)),
        Job("sweep", ("run", "sweep.yaml", "--out", OUT)),
        Job("prune", ("prune", "model", "--recipe", "recipe.yaml", "--out", OUT)),
        Job("shaped", ("prune", "model", "--recipe", "quick.yaml", "--set", "prune.allocate=global",
                       "--out", OUT)),
        Job("heal", ("heal", "given/prune", "--teacher", "model", "--tasks", "mood/mood.yaml",
                     "--recipe", "recipe.yaml", "--out", OUT), before="run"),
        Job("tune", ("tune", "given/prune", "--task", "mood/mood.yaml", "--recipe", "recipe.yaml",
                     "--out", OUT), before="run"),
        Job("evaluate", ("evaluate", "given/heal", "--tasks", "mood/mood.yaml", "--prompt", "plain",
                         "--out", OUT), before="run"),
        Job("hf", ("export", "given/heal", "--adapter", "given/tune-mood", "--out", OUT), before="run"),
        Job("gguf", ("export", "given/heal", "--to", "gguf", "--adapter", "given/tune-mood",
                     "--out", OUT), before="run"),
        Job("matrix", ("matrix", "quick.yaml", "--general", "general.jsonl", "--out", OUT)),
        Job("plan", ("plan", "model", "--recipe", "quick.yaml", "--out", OUT + ".json")),
        Job("report", ("report", "given", "--out", OUT + ".html"), before="run"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Undisturbed:
    """A job done without disturbance: the `disk` it filled, seconds of the clock, changes of the disk."""

    disk: Path
    wall: float
    changes: int

    @property
    def bytes(self) -> int:
        """The size of what is left, without what was there only meanwhile."""
        return sum(path.stat().st_size for path in self.disk.rglob("*") if path.is_file())


class Bench:
    """The inputs in `root`/inputs, made once, and each job's undisturbed result, made when it is wanted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._done: dict[str, Undisturbed] = {}
        child.call(make_inputs, root / "inputs")

    def inputs(self, folder: Path, job: str = "run") -> Path:
        """A copy of the inputs, in which a case may do what it likes, with all that `job` reads."""
        shutil.copytree(self.root / "inputs", folder, dirs_exist_ok=True)
        if JOBS[job].before:
            shutil.copytree(self.undisturbed(JOBS[job].before).disk / "out", folder / "given", symlinks=True)
        return folder

    def undisturbed(self, job: str) -> Undisturbed:
        """The result of `job` when nothing disturbs it."""
        with self._lock:
            if job not in self._done:
                folder = self.inputs(self.root / job, job)
                ran = child.run(JOBS[job].arguments, folder, Count(str(folder / "changes")))
                assert ran.code == 0, f"the campaign's own job fails: {ran.line}\n{ran.err}"
                changes = int((folder / "changes").read_text())
                self._done[job] = Undisturbed(folder / "disk", ran.wall, changes)
            return self._done[job]


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """`rows` as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_inputs(folder: Path) -> None:
    """A random LLaMA of two layers with the world's tokenizer, a task with its rows, texts and recipes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    from tailored_llama import world

    logging.disable_progress_bar()
    source = world.model_path()
    known = json.loads((source / "config.json").read_text())
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=known["vocab_size"], hidden_size=32, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        bos_token_id=known["bos_token_id"], eos_token_id=known["eos_token_id"], tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder / "model")
    model.save_pretrained(folder / "sharded", max_shard_size="40KB")
    for name, place in product(("tokenizer.json", "tokenizer_config.json"), ("model", "sharded")):
        shutil.copyfile(source / name, folder / place / name)
    (folder / "mood").mkdir()
    (folder / "mood" / "mood.yaml").write_text(TASK)
    texts = [f"{weather} {thing}" for weather in WEATHER for thing in THINGS]
    rows = [{"text": text, "mood": ("sad", "happy")[i % 2]} for i, text in enumerate(texts)]
    write_rows(folder / "mood" / "train.jsonl", rows[:16])
    write_rows(folder / "mood" / "test.jsonl", rows[16:])
    write_rows(
        folder / "general.jsonl",
        [{"instruction": f"Count to {i}.", "input": "", "output": "one " * i} for i in range(1, 9)],
    )
    (folder / "story.txt").write_text(world.text("test")[:2000])
    (folder / "thesis.txt").write_text("Work of years.\n")
    for name, text in (("recipe", RECIPE), ("quick", QUICK), ("sweep", SWEEP)):
        (folder / f"{name}.yaml").write_text(text)
    (folder / "disk").mkdir()
