"""Two halves of the shots: tuned on one, asked the other, both ways: none is asked that was taught."""

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

Asked = tuple[Task, Sequence[Example]]


@dataclass(frozen=True)
class HeldOut:
    """Outcomes of every own example under the tuning that did not see it; of every other task's examples
    under either tuning. Own ones in the order of the examples.
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
    others: Sequence[Asked] = (),
) -> HeldOut:
    """Tune `model` on either half of `examples`, and ask the other half, and all of the `others`.

    `model` is left as it was. Raises TuneError where a tuning diverges, DataError for fewer than two examples
    and as scoring does.
    """
    if len(examples) < 2:
        raise DataError(
            f"task {task.name}: to tune on one half of the shots and ask the other takes two or more; "
            "raise tune.shots"
        )
    settings = on_shots_alone(settings)
    metric = metric_of(task, settings)
    found: dict[int, Outcome] = {}
    besides: list[list[list[Outcome]]] = []
    halves = split(examples)
    for taught, held in (halves, halves[::-1]):
        half, limit = [examples[place] for place in taught], example_length(task, model)
        shots = encode(tokenizer, half, limit, metric, embedding_rows(model))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            adapted = attach(model, settings.lora)
            fit(model, Material(shots), settings, seed=seed, title=f"tune {task.name}")
        model.eval()
        asked = ask(model, tokenizer, task, [examples[place] for place in held])
        found |= dict(zip(held, asked, strict=True))
        besides.append([ask(model, tokenizer, other, rows) for other, rows in others])
        adapted.unload()
    own = [found[place] for place in range(len(examples))]
    return HeldOut(own, list(zip(*besides, strict=True)))


def on_shots_alone(settings: Tune) -> Tune:
    """The settings without what a comparison does not need and half of the shots cannot bear: a teacher,
    general text, shots held out for stopping.
    """
    losses = {name: weight for name, weight in settings.loss.items() if not loss_named(name).teacher}
    return settings.model_copy(update={"loss": losses or {"answer": 1.0}, "replay": None, "early_stop": None})


def ask(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, examples: Sequence[Example]
) -> list[Outcome]:
    """The outcomes of `examples`, with the task's name in the progress."""
    return outcomes(model, tokenizer, task, examples, description=f"asking {task.name}")


def split(examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    """The places of two halves in which labels are as even as in the whole."""
    ordered = sorted(range(len(examples)), key=lambda place: examples[place].gold)
    return ordered[::2], ordered[1::2]
