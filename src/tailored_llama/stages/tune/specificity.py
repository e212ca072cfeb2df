"""How specific a wording is: what tuning in it gains on its own task, minus what it gains on other tasks.

The shots are halved, with labels in turn: the model is tuned on one half and asked the other, both ways, so
that no shot is asked of a model that was tuned on it. The same two models are asked training rows of every
other task, in that task's wording of the same name, or its first where it has none. A gain is in the margin
of `Scored.margin`: the right choice's probability over the best other, between -2 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.data import load_task
from tailored_llama.data.shots import draw_shots
from tailored_llama.errors import DataError, TuneError
from tailored_llama.memory import memory_for
from tailored_llama.recipe import Tune
from tailored_llama.scoring import Outcome
from tailored_llama.scoring.bootstrap import Interval, interval, resample
from tailored_llama.stages.tune.cross_validation import ask, cross_validate
from tailored_llama.stages.tune.stage import Job


@dataclass(frozen=True)
class Specificity:
    """Mean gains in margin on the `own` task and the `others`, their difference, and its 95% interval."""

    prompt: str
    own: float
    others: float
    specificity: float
    specificity_interval: Interval


@checkpoint.takes_allow_config
@memory_for("prompts rank", "lower tune.batch_size or tune.lora.r")
def specificities(
    model: str | Path | PreTrainedModel,
    *,
    task: str,
    others: Sequence[str],
    settings: Tune,
    seed: int = 42,
    data: Mapping[str, str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
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
    rows = {
        each.name: draw_shots(each, settings, seed=seed, data=places.get(each.name)).rows
        for each in (asked, *besides)
    }
    loaded, words = job.ready()
    found = []
    for prompt in asked.prompts:
        own = asked.examples(prompt, rows[asked.name])
        elsewhere = [
            (other, other.examples(prompt if prompt in other.prompts else next(iter(other.prompts)),
                                   rows[other.name]))
            for other in besides
        ]  # fmt: skip
        was, *were = [ask(loaded, words, each, examples) for each, examples in [(asked, own), *elsewhere]]
        after = cross_validate(loaded, words, asked, own, settings, seed=seed, others=elsewhere)
        gained = [
            [fmean(pair) for pair in zip(*(_gains(before, now) for now in both), strict=True)]
            for before, both in zip(were, after.others, strict=True)
        ]
        found.append(_summary(prompt, _gains(was, after.own), gained, seed))
    return sorted(found, key=lambda entry: -entry.specificity)


def _gains(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[float]:
    """What every example gained in margin."""
    return [now.margin - was.margin for was, now in zip(before, after, strict=True)]


def _summary(prompt: str, own: list[float], others: list[list[float]], seed: int) -> Specificity:
    """The shots of each task are drawn anew by themselves: gains on different tasks are not paired."""

    def redrawn(number: int, values: list[float]) -> np.ndarray:
        counts = resample(np.random.default_rng([seed, number, len(values)]), len(values))
        drawn: np.ndarray = counts @ np.array(values) / len(values)
        return drawn

    here = redrawn(0, own)
    there = np.mean([redrawn(number, values) for number, values in enumerate(others, start=1)], axis=0)
    gap = here - there
    return Specificity(prompt, float(here[0]), float(there[0]), float(gap[0]), interval(gap[1:]))
