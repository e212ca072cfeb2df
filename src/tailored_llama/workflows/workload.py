"""The workload of a run, computed before it starts: from the tensor sizes, the recipe, and some rows of its
tasks.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.data import Row, Task, load_task
from tailored_llama.data.shots import ALL, RESERVED, candidates
from tailored_llama.recipe import Recipe
from tailored_llama.scoring import example_length
from tailored_llama.training.batches import Shot, encode
from tailored_llama.training.loss import metric_of, teaching

PROMPT, ENDED = 0.5, 0.75
"""Mean share of a prompt that a generated text starts with, and of the maximum length that is generated. 0.75
is between models that never end a text early (1) and the bundled one (0.6)."""
ROWS = 16
"""Number of training rows of a task that are read."""


class Workload:
    """The workload of a recipe without a sweep: its dense model, its size after a cut, its tasks' tokens and
    rows.
    """

    def __init__(self, recipe: Recipe, like: Workload | None = None) -> None:
        """If `like` has the same model, its config and tokenizer are reused."""
        self.recipe = recipe
        self.dense = checkpoint.resolve(recipe.model)
        known = like if like is not None and like.dense == self.dense else None
        self.weights: checkpoint.Weights = known.weights if known else checkpoint.open_weights(self.dense)
        self.tokenizer: PreTrainedTokenizerBase = (
            known.tokenizer if known else checkpoint.load_tokenizer(self.dense)
        )
        self.tasks = [load_task(name) for name in recipe.tasks]
        self.rounds = recipe.heal.rounds if recipe.heal else 1
        self.bytes = {name: self._bytes(name) for name in self.weights.names()}
        self.left = self._left()
        self._shots: dict[tuple[str, bool], list[list[Shot]]] = {}
        self._questions: dict[tuple[str, bool], list[Shot]] = {}

    def share(self, cuts: int) -> float:
        """The share of the dense model's bytes that remains after `cuts` cuts."""
        return float(self.left ** (cuts / self.rounds))

    @property
    def total(self) -> int:
        """Bytes of the dense model's tensors."""
        return sum(self.bytes.values())

    @property
    def needs_teacher(self) -> bool:
        """Whether tuning learns from the unpruned model."""
        return teaching(self.recipe.tune) is not None

    def shots(self, task: Task, *, every: bool) -> list[list[Shot]]:
        """Some training rows as token ids, in each wording that tuning may choose; with `every`, all choices
        that a loss reads.
        """
        if (task.name, every) not in self._shots:
            length = example_length(task, self.weights.config)
            metric, rows = metric_of(task, self.recipe.tune) if every else None, self._rows(task)
            self._shots[task.name, every] = [
                encode(self.tokenizer, task.examples(name, rows), length, metric)
                for name in self._wordings(task)
            ]
        return self._shots[task.name, every]

    def turns(self, task: Task) -> int:
        """In how many wordings each shot is trained."""
        tune = self.recipe.tune
        return min(tune.epochs, len(task.prompts)) if tune.prompt == ALL else 1

    def questions_of(self, task: Task, *, tuned: bool) -> list[Shot]:
        """Some training rows as they are scored: all choices, in the first wording that may be chosen."""
        known = self._questions.get((task.name, tuned))
        if known is None:
            name = next(iter(self._wordings(task))) if tuned else task.stock
            metric = task.metric if task.kind == "choice" else None
            length = example_length(task, self.weights.config)
            known = encode(self.tokenizer, task.examples(name, self._rows(task)), length, metric)
            self._questions[task.name, tuned] = known
        return known

    def _wordings(self, task: Task) -> list[str]:
        return candidates(task, self.recipe.tune.prompt)

    def _rows(self, task: Task) -> list[Row]:
        rows = task.rows("train", self.recipe.data.get(task.name))
        return rows[: min(self.recipe.tune.shots, ROWS)]  # any rows: their lengths are similar

    def questions(self, task: Task) -> int:
        """Rows of `task` that are scored."""
        evaluate = self.recipe.evaluate
        rows = len(task.rows(evaluate.split, self.recipe.data.get(task.name)))
        if evaluate.split == "train":  # only the reserved rows are scored
            rows = min(RESERVED, rows // 2)
        return min(rows, evaluate.limit or rows)

    def _left(self) -> float:
        prune, total = self.recipe.prune, self.total
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
