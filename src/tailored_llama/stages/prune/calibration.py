"""The calibration data: windows of tokens, or questions with their choices."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Checkpoint, Weights
from tailored_llama.data import NoSplitError, load_task
from tailored_llama.data.shots import draw
from tailored_llama.data.task import Row, Task
from tailored_llama.data.text_windows import calibration_tokens, check_windows
from tailored_llama.errors import DataError, RecipeError
from tailored_llama.recipe import Prune
from tailored_llama.scoring import embedding_rows, example_length
from tailored_llama.stages.prune.criterion import criterion_named
from tailored_llama.stages.prune.margin import ChoiceMargin, questions
from tailored_llama.stages.prune.objective import Objective, Tokens
from tailored_llama.stages.prune.reconstruct import check_samples


@dataclass(frozen=True)
class Source:
    """The source of the calibration text: the settings of a recipe, or given token ids."""

    settings: Prune
    seed: int
    tasks: Sequence[str]
    data: Mapping[str, str]
    tokens: Tokens | None
    tokenizer: PreTrainedTokenizerBase | None

    def text(self, weights: Weights) -> Tokens | Objective | None:
        """The data that the criterion is measured on; None if it needs none.

        Raises RecipeError, DataError for data that the criterion or reconstruction cannot use.
        """
        if self.settings.reconstruct:
            check_samples(self.settings.calibration.samples if self.tokens is None else len(self.tokens))
        needs = criterion_named(self.settings.criterion).needs
        if self.settings.objective == "margin":
            self._check_margin("gradient" in needs)
            return self._margin(weights)
        return None if needs in ("nothing", "weights") else self.windows(weights)

    def windows(self, weights: Weights) -> Tokens:
        """Token ids [samples, length] for this model's vocabulary."""
        vocabulary = int(weights.config.vocab_size)
        if self.tokens is not None:
            return check_windows(self.tokens, vocabulary, "tokens")
        return calibration_tokens(
            self.settings.calibration,
            lambda: self._tokenizer(weights),
            vocabulary=vocabulary,
            seed=self.seed,
            tasks=self.tasks,
            data=self.data,
        )

    def _tokenizer(self, weights: Weights) -> PreTrainedTokenizerBase:
        if self.tokenizer is not None:
            return self.tokenizer
        if isinstance(weights, Checkpoint):
            return checkpoint.load_tokenizer(weights.directory)
        raise DataError("calibration: a model in memory has no tokenizer; pass tokenizer=... or tokens=...")

    def _check_margin(self, takes_gradients: bool) -> None:
        if not takes_gradients:
            raise RecipeError(
                f"prune.objective: margin needs a criterion with gradients, and {self.settings.criterion} "
                "has none; choose a taylor criterion, or objective: lm"
            )
        if self.settings.calibration.source != "task" or self.tokens is not None:
            source = "token ids" if self.tokens is not None else f"source {self.settings.calibration.source}"
            raise RecipeError(
                f"prune.objective: margin needs questions with choices, and the calibration ({source}) has "
                "none; set prune.calibration.source: task"
            )

    def _margin(self, weights: Weights) -> ChoiceMargin:
        """`samples` shots of each task (the same as in tuning with this number of shots), in wordings drawn
        with the seed. They are not truncated to `length`, only to the model's context and the task's
        `max_length`.
        """
        if not self.tasks:
            raise DataError(
                "calibration.source: task: the recipe has no tasks; set tasks: [NAME], or another source"
            )
        tokenizer, dice = self._tokenizer(weights), random.Random(self.seed)
        parts = []
        for name in self.tasks:
            task = load_task(name)
            if task.kind != "choice":
                raise DataError(
                    f"prune.objective: margin compares choices, and the answers of task {task.name} are "
                    "generated; set prune.objective: lm"
                )
            place = self.data.get(task.name)
            rows = task.rows("train", place)
            shots = draw(
                task, rows, self.settings.calibration.samples, self.seed, scored=_scored(task, place)
            )
            examples = [
                task.render(dice.choice(list(task.prompts)), row, index, shots.rows.where)
                for row, index in zip(shots.rows, shots.indices, strict=True)
            ]
            length, vocabulary = example_length(task, weights.config), embedding_rows(weights.config)
            parts += questions(tokenizer, examples, task.metric, length, vocabulary)
        return ChoiceMargin(parts)


def _scored(task: Task, data: str | None) -> Sequence[Row]:
    try:
        return task.rows("scored", data)
    except NoSplitError:
        return ()  # there may be none; evaluation reports it
