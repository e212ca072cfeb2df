"""The disk that a run will need, before it starts: from the table of tensors and the recipe."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.data import Task, load_task
from tailored_llama.data.shots import AUTO
from tailored_llama.recipe import Heal, Recipe
from tailored_llama.scoring import embedding_rows, example_length
from tailored_llama.training.batches import Shot, encode
from tailored_llama.training.generation import prompts_of
from tailored_llama.training.lora import MODULES
from tailored_llama.training.loss import metric_of, teaching
from tailored_llama.training.teacher import bytes_a_place

RECORD = 2_000
"""Bytes of the small files of a stage: its manifest, settings, figures."""
ANSWER, STEP, ENTRY = 3, 130, 150
"""Bytes of one scored answer, of a training step's record, of a tensor's entry in a file's header."""
PAGE, ROW, CARD = 60_000, 1_500, 30_000
"""Bytes of the report, of a row of its figures, of a model card with its picture."""
PROMPT, ENDED = 0.5, 0.75
"""The share of a prompt that a text of the teacher begins with, on average, and of a whole text that is
written: between models that never end a text early and the bundled one (0.6)."""
ROWS = 16
"""Training rows of a task that are looked at."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """Bytes that stay, and that are there for a while: the larger of the teacher's for healing and tuning."""

    stays: int
    passing: int

    @property
    def peak(self) -> int:
        """Bytes at the most."""
        return self.stays + self.passing


def needed(recipe: Recipe) -> Need:
    """What a run of `recipe`, which has no sweep, takes on the disk, to about a third."""
    return _Estimate(recipe).need()


def announce(recipe: Recipe, out: Path) -> None:
    """Log the disk that a run of `recipe` in `out` needs; OutputError where less is free.

    What is there already is taken off.
    """
    need = needed(recipe)
    there = _size(out)
    log.info(
        "disk: about %s when finished, %s while it runs; %s are free%s",
        checkpoint.size_text(need.stays), checkpoint.size_text(need.peak),
        checkpoint.size_text(checkpoint.free_bytes(out)),
        f", {checkpoint.size_text(there)} are there already" if there else "",
    )  # fmt: skip
    checkpoint.require_room(out, max(0, need.peak - there))


def _size(out: Path) -> int:
    files = out.rglob("*") if out.is_dir() else ()
    return sum(path.lstat().st_size for path in files if path.is_file() and not path.is_symlink())


class _Estimate:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.dense = checkpoint.resolve(recipe.model)
        self.weights = checkpoint.open_weights(self.dense)
        self.tasks = [load_task(name) for name in recipe.tasks]
        self.rounds = recipe.heal.rounds if recipe.heal else 1
        self.bytes = {name: self._bytes(name) for name in self.weights.names()}
        self.left = self._left()

    def need(self) -> Need:
        recipe, share = self.recipe, self.left ** (1 / self.rounds)
        cuts = [self._checkpoint(share**number) for number in range(1, self.rounds + 1)]
        stays = sum(cuts) * (2 if recipe.heal else 1)
        stays += len(self.tasks) * (self._adapter(1.0) + self._adapter(self.left))
        stays += self._records() + len(recipe.export.formats) * len(self.tasks) * (CARD + cuts[-1])
        parts = [self._heal_teacher(), self._tune_teachers()]
        if recipe.keep == "all":
            return Need(stays + sum(parts), 0)
        return Need(stays, max(parts))

    def _left(self) -> float:
        """The share of the model's bytes that stays."""
        prune, total = self.recipe.prune, sum(self.bytes.values())
        if prune.of in ("params", "bytes"):
            return 1 - prune.ratio
        layers = range(*prune.layers) if prune.layers and prune.of == "units" else None
        body = sum(
            size for name, size in self.bytes.items()
            if name.startswith("model.layers.") and (layers is None or int(name.split(".")[2]) in layers)
        )  # fmt: skip
        return 1 - prune.ratio * body / total

    def _bytes(self, name: str) -> int:
        return torch.Size(self.weights.shape(name)).numel() * self.weights.dtype(name).itemsize

    def _checkpoint(self, share: float) -> int:
        weights = share * sum(self.bytes.values()) + ENTRY * len(self.bytes)
        return int(weights) + checkpoint.extra_bytes(self.dense) + 2 * RECORD

    def _adapter(self, share: float) -> int:
        """An fp32 adapter on a model of `share` of the dense one: of each matrix, one side has shrunk."""
        lora = self.recipe.tune.lora
        modules = {module for target in lora.targets for module in MODULES[target]}
        total = 0.0
        for name in self.bytes:
            if len(parts := name.split(".")) > 2 and parts[-2] in modules and parts[-1] == "weight":
                sides = sum(self.weights.shape(name))
                total += 4 * lora.r * sides * (1 + share) / 2 + 2 * ENTRY
        return int(total)

    def _records(self) -> int:
        """Manifests, histories, figures and the report."""
        recipe = self.recipe
        tune, tasks = recipe.tune, len(self.tasks)
        steps = 2 * tasks * tune.epochs * ceil(tune.shots / tune.batch_size)
        if recipe.heal:
            steps += self.rounds * recipe.heal.epochs * ceil(_sequences(recipe.heal) / recipe.heal.batch_size)
        wordings = 2 if recipe.evaluate.prompt == "same" else 1
        rows = wordings * (3 + 2 * tasks)
        scored = list(map(load_task, recipe.evaluate.tasks or recipe.tasks))
        answers = wordings * 5 * sum(map(self._questions, scored))
        stages = 2 * tasks + rows + 2 * self.rounds
        return STEP * steps + ANSWER * answers + 2 * RECORD * stages + PAGE + ROW * rows

    def _questions(self, task: Task) -> int:
        rows = len(task.rows("scored", self.recipe.data.get(task.name)))
        return min(rows, self.recipe.evaluate.limit or rows)

    def _heal_teacher(self) -> int:
        heal = self.recipe.heal
        if heal is None:
            return 0
        words = self._tokenizer()
        lengths = [
            len(prompt)
            for task in self.tasks
            for shots in self._shots(task, words, every=False)
            for prompt in prompts_of(shots)
        ]
        tokens = ENDED * heal.texts * (heal.length + PROMPT * sum(lengths) / len(lengths) - 1)
        each = bytes_a_place(embedding_rows(self.weights.config), heal.top_k)
        general = heal.text.pieces * heal.text.length if heal.text else 0
        return int((tokens + general) * each)

    def _shots(self, task: Task, words: PreTrainedTokenizerBase, *, every: bool) -> list[list[Shot]]:
        """The shots as token ids, in each wording that may be taken; with `every`, all of their choices."""
        recipe = self.recipe
        data, tune, config = recipe.data.get(task.name), recipe.tune, self.weights.config
        rows = task.rows("train", data)[: min(tune.shots, ROWS)]  # any: which are drawn says little here
        wordings = list(task.prompts) if tune.prompt == AUTO else [tune.prompt]
        length, metric = example_length(task, config), metric_of(task, tune) if every else None
        return [encode(words, task.examples(wording, rows), length, metric) for wording in wordings]

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return checkpoint.load_tokenizer(self.dense)

    def _tune_teachers(self) -> int:
        """Of all tasks together: they are kept until both tunings of each are complete."""
        tune = self.recipe.tune
        if teaching(tune) is None:
            return 0
        words, total = self._tokenizer(), 0.0
        for task in self.tasks:
            wordings = self._shots(task, words, every=True)
            reads = [shot.reads for shots in wordings for shot in shots]
            total += tune.shots * sum(reads) / len(reads)
            if tune.distill.texts:
                prompts = [prompt for shots in wordings for prompt in prompts_of(shots)]
                mean = sum(map(len, prompts)) / len(prompts)
                total += ENDED * tune.distill.texts * (tune.distill.length + PROMPT * mean - 1)
        return int(total * bytes_a_place(embedding_rows(self.weights.config), tune.distill.top_k))


def _sequences(heal: Heal) -> int:
    """Texts and pieces that healing reads in an epoch."""
    return heal.texts + (heal.text.pieces if heal.text else 0)
