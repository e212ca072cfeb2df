"""How specific a wording is: what tuning in it gains on its own task, minus what it gains on other tasks.

The shots are halved, with labels in turn: the model is tuned on one half and asked the other, both ways, so
that no shot is asked of a model that was tuned on it. The same two models are asked training rows of every
other task, in that task's wording of the same name, or its first where it has none. A gain is in the margin
of `Scored.margin`: the right choice's probability over the best other, between -2 and 2.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import DataError, TuneError
from tailored_llama.recipe import Tune
from tailored_llama.scoring import context_length, outcomes
from tailored_llama.scoring.rank import DRAWS, Interval, interval
from tailored_llama.tasks import Example, Task, load_task
from tailored_llama.tasks.fewshot import draw
from tailored_llama.tune.adapter import attach
from tailored_llama.tune.data import Material, encode
from tailored_llama.tune.job import Job
from tailored_llama.tune.shots import scored_rows
from tailored_llama.tune.trainer import fit


@dataclass(frozen=True)
class Specificity:
    """Mean gains in margin on the `own` task and the `others`, their difference, and its 95% interval."""

    prompt: str
    own: float
    others: float
    specificity: float
    specificity_interval: Interval


def specificities(
    model: str | Path | PreTrainedModel,
    *,
    task: str,
    others: Sequence[str],
    settings: Tune,
    seed: int = 42,
    data: Mapping[str, str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str | None = None,
) -> list[Specificity]:
    """Every wording of `task`, the most specific first; two tunings a wording, of half the shots each.

    Raises DataError for fewer than two shots or no other task, and what `tune` raises.
    """
    if settings.shots < 2 or not others:
        raise DataError(
            "specificity needs two shots or more, to tune on one half, and one other task or more"
        )
    if "distill" in settings.loss or settings.replay or settings.early_stop:
        raise TuneError(
            "specificity tunes on the shots alone; leave out tune.loss: distill, tune.replay, tune.early_stop"
        )
    places = data or {}
    asked, *besides = (load_task(name) for name in (task, *others))
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=asked, settings=settings, seed=seed, data=places.get(asked.name), tokenizer=tokenizer,
        device=device,
    )  # fmt: skip
    rows = {each.name: _rows(each, settings.shots, seed, places.get(each.name)) for each in (asked, *besides)}
    found = []
    for prompt in asked.prompts:
        own = asked.examples(prompt, rows[asked.name])
        elsewhere = [
            (other, other.examples(prompt if prompt in other.prompts else next(iter(other.prompts)),
                                   rows[other.name]))
            for other in besides
        ]  # fmt: skip
        found.append(_summary(prompt, *_gains(job, own, elsewhere), seed))
    return sorted(found, key=lambda entry: -entry.specificity)


def _rows(task: Task, shots: int, seed: int, data: str | None) -> list[dict[str, object]]:
    return draw(task, task.rows("train", data), shots, seed, scored=scored_rows(task, data)).rows


def _gains(
    job: Job, own: list[Example], elsewhere: list[tuple[Task, list[Example]]]
) -> tuple[list[float], list[list[float]]]:
    """Each own shot's gain under the half it is not in; for every other task each row's mean gain."""
    halves = _halves(own)
    gains: list[float] = []
    besides: list[list[list[float]]] = []
    for taught, held in (halves, halves[::-1]):
        model, tokenizer = job.ready()
        sets = [(job.task, held), *elsewhere]
        before = [_margins(model, tokenizer, task, examples) for task, examples in sets]
        shots = encode(tokenizer, taught, context_length(model), job.metric)
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)
            attach(model, job.settings.lora)
            fit(model, Material(shots), job.settings, seed=job.seed, title=f"tune {job.task.name}")
        model.eval()
        after = [_margins(model, tokenizer, task, examples) for task, examples in sets]
        first, *rest = (
            [new - old for new, old in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)
        )
        gains += first
        besides.append(rest)
    return gains, [[fmean(pair) for pair in zip(*lists, strict=True)] for lists in zip(*besides, strict=True)]


def _halves(examples: list[Example]) -> tuple[list[Example], list[Example]]:
    """Two halves in which labels are as even as in the whole."""
    ordered = sorted(examples, key=lambda example: example.gold)
    return ordered[::2], ordered[1::2]


def _margins(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, examples: list[Example]
) -> list[float]:
    found = outcomes(model, tokenizer, task, examples, description=f"asking {task.name}")
    return [outcome.margin for outcome in found]


def _summary(prompt: str, own: list[float], others: list[list[float]], seed: int) -> Specificity:
    dice = random.Random(seed)

    def redrawn(values: list[float]) -> float:
        return fmean(dice.choices(values, k=len(values)))

    draws = [redrawn(own) - fmean(redrawn(values) for values in others) for _ in range(DRAWS)]
    here, there = fmean(own), fmean(fmean(values) for values in others)
    return Specificity(prompt, here, there, here - there, interval(draws))
