"""Two-fold cross-validation on the shots: tune on one half, score the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, Task
from tailored_llama.errors import DataError
from tailored_llama.recipe import Tune
from tailored_llama.scoring import Outcome, embedding_rows, example_length, outcomes
from tailored_llama.training.batches import Material, encode
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach
from tailored_llama.training.loss import loss_named, metric_of

TaskExamples = tuple[Task, Sequence[Example]]


@dataclass(frozen=True)
class HeldOut:
    """Outcomes of the task's examples, in order, each by the model that was not tuned on it (`own`); and of
    the other tasks' examples by both models (`others`).
    """

    own: list[Outcome]
    others: list[tuple[list[Outcome], list[Outcome]]]


def cross_validate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Sequence[Example],
    settings: Tune,
    *,
    seed: int,
    others: Sequence[TaskExamples] = (),
) -> HeldOut:
    """Tune `model` on each half of `examples`, and score the other half and all of the `others`.

    `model` is not changed. Raises TuneError if a tuning diverges, DataError for fewer than two examples and
    the errors of scoring.
    """
    if len(examples) < 2:
        raise DataError(f"task {task.name}: cross-validation needs two or more shots; raise tune.shots")
    settings = on_shots_alone(settings)
    metric = metric_of(task, settings)
    result: dict[int, Outcome] = {}
    others_outcomes: list[list[list[Outcome]]] = []
    halves = split(examples)
    for train, test in (halves, halves[::-1]):
        half, limit = [examples[place] for place in train], example_length(task, model)
        shots = encode(tokenizer, half, limit, metric, embedding_rows(model))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            adapted = attach(model, settings.lora)
            fit(model, Material(shots), settings, seed=seed, title=f"tune {task.name}")
        model.eval()
        scored = score_examples(model, tokenizer, task, [examples[place] for place in test])
        result |= dict(zip(test, scored, strict=True))
        others_outcomes.append(
            [score_examples(model, tokenizer, other_task, rows) for other_task, rows in others]
        )
        adapted.unload()
    own_outcomes = [result[place] for place in range(len(examples))]
    return HeldOut(own_outcomes, list(zip(*others_outcomes, strict=True)))


def on_shots_alone(settings: Tune) -> Tune:
    """The settings without a teacher, general text and early stopping, which a comparison on half of the
    shots does not need.
    """
    losses = {name: weight for name, weight in settings.loss.items() if not loss_named(name).teacher}
    return settings.model_copy(update={"loss": losses or {"answer": 1.0}, "replay": None, "early_stop": None})


def score_examples(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, examples: Sequence[Example]
) -> list[Outcome]:
    """The outcomes of `examples`, with the task's name in the progress bar."""
    return outcomes(model, tokenizer, task, examples, description=f"scoring {task.name}")


def split(examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    """Indices of two halves with the same balance of labels."""
    ordered = sorted(range(len(examples)), key=lambda place: examples[place].gold)
    return ordered[::2], ordered[1::2]
