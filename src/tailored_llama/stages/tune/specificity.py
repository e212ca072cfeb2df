"""The specificity of a wording: the gain from tuning in it on its own task, minus the gain on other tasks.

Gains are measured by two-fold cross-validation on the shots, balanced over labels, so that no shot is scored
by a model that was tuned on it. The same two models are scored on training rows of every other task, in that
task's wording of the same name, or its first one. A gain is a difference of margins (`Scored.margin`),
between -2 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from tailored_llama.results import Specificity
from tailored_llama.scoring import Outcome
from tailored_llama.scoring.bootstrap import interval, resample
from tailored_llama.stages.tune.cross_validation import cross_validate, score_examples
from tailored_llama.stages.tune.stage import Job


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
    """The specificity of every wording of `task`, the highest first. Each takes two tunings on half of the
    shots.

    Raises DataError for fewer than two shots or without another task, and the errors of `tune`.
    """
    if settings.shots < 2 or not others:
        raise DataError("specificity needs at least two shots and at least one other task")
    if "distill" in settings.loss or settings.replay or settings.early_stop:
        raise TuneError(
            "specificity tunes only on the shots; remove tune.loss: distill, tune.replay, tune.early_stop"
        )
    places = data or {}
    own_task, *other_tasks = (load_task(name) for name in (task, *others))
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=own_task, settings=settings, seed=seed, data=places.get(own_task.name), tokenizer=tokenizer,
        device=device,
    )  # fmt: skip
    rows = {
        each.name: draw_shots(each, settings, seed=seed, data=places.get(each.name)).rows
        for each in (own_task, *other_tasks)
    }
    loaded, words = job.ready()
    result = []
    for prompt in own_task.prompts:
        own_examples = own_task.examples(prompt, rows[own_task.name])
        other_examples = [
            (other, other.examples(prompt if prompt in other.prompts else next(iter(other.prompts)),
                                   rows[other.name]))
            for other in other_tasks
        ]  # fmt: skip
        was, *were = [
            score_examples(loaded, words, each, examples)
            for each, examples in [(own_task, own_examples), *other_examples]
        ]
        after = cross_validate(
            loaded, words, own_task, own_examples, settings, seed=seed, others=other_examples
        )
        gained = [
            [fmean(pair) for pair in zip(*(_gains(before, now) for now in both), strict=True)]
            for before, both in zip(were, after.others, strict=True)
        ]
        result.append(_summary(prompt, _gains(was, after.own), gained, seed))
    return sorted(result, key=lambda entry: -entry.specificity)


def _gains(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[float]:
    """The gain in margin of every example."""
    return [now.margin - was.margin for was, now in zip(before, after, strict=True)]


def _summary(prompt: str, own: list[float], others: list[list[float]], seed: int) -> Specificity:
    """Mean gains and the interval of their difference. The shots of each task are resampled independently,
    since gains on different tasks are not paired.
    """

    def resampled_means(number: int, values: list[float]) -> np.ndarray:
        counts = resample(np.random.default_rng([seed, number, len(values)]), len(values))
        drawn: np.ndarray = counts @ np.array(values) / len(values)
        return drawn

    own_draws = resampled_means(0, own)
    other_draws = np.mean(
        [resampled_means(number, values) for number, values in enumerate(others, start=1)], axis=0
    )
    gap = own_draws - other_draws
    return Specificity(
        prompt=prompt, own=float(own_draws[0]), others=float(other_draws[0]), specificity=float(gap[0]),
        specificity_interval=interval(gap[1:]),
    )  # fmt: skip
