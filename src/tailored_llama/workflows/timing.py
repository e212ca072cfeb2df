"""Estimate of the seconds that each stage of a run takes: the tokens that it reads, trains on and generates,
times the measured cost of a token. Accurate to a factor of about two: enough to tell minutes from days.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailored_llama import world
from tailored_llama.data import load_task
from tailored_llama.data.shots import ALL, AUTO
from tailored_llama.stages.evaluate.perplexity import window_of
from tailored_llama.stages.prune.criterion import criterion_named
from tailored_llama.workflows.disk import bytes_of
from tailored_llama.workflows.speed import Speed, tokens_of
from tailored_llama.workflows.steps import SAME, Step
from tailored_llama.workflows.workload import ENDED, PROMPT, Workload

STAGE, QUESTION = 1.0, 0.003
"""Overhead in seconds of a stage, and of a scored question, in addition to the model's computation."""
DISK = 3e8
"""Bytes a second that are read or written."""
PASSES = {"nothing": 0, "weights": 0, "inputs": 1, "stream": 1, "gradient": 4, "squared_gradient": 6}
"""Cost in forward passes of what a criterion needs. With gradients: one forward pass, one to recompute, and
two for the backward pass.
"""
MOST = 10**12
CORPUS = {"wikitext2": 1_290_000, "ptb": 450_000}
"""Characters of the texts on the hub."""


def seconds_of(step: Step, work: Workload, speed: Speed) -> float:
    """The estimated seconds of one stage."""
    by_kind = {"prune": _prune, "heal": _heal, "tune": _tune, "evaluate": _evaluate, "export": _export}
    moved = work.share(step.cuts) * work.total + bytes_of(step, work)
    return STAGE + moved / DISK + by_kind[step.kind](step, work, speed)


def _prune(step: Step, work: Workload, speed: Speed) -> float:
    prune = work.recipe.prune
    length = prune.calibration.length
    if prune.calibration.source == "task":
        length = round(_mean([len(ids) for ids in _ids(work)]))
    passes = PASSES[criterion_named(prune.criterion).needs] * prune.steps + (2 if prune.reconstruct else 0)
    return passes * prune.calibration.samples * length * speed.score.at(work.share(step.cuts))


def _heal(step: Step, work: Workload, speed: Speed) -> float:
    heal = work.recipe.heal
    assert heal
    written = ENDED * heal.texts * heal.length
    read = written + PROMPT * heal.texts * _mean([len(ids) for ids in _ids(work)])
    read += heal.text.pieces * heal.text.length if heal.text else 0
    teacher = written * speed.write.at(1) + read * speed.score.at(1)
    return teacher + heal.epochs * read * speed.text.at(work.share(step.cuts))


def _tune(step: Step, work: Workload, speed: Speed) -> float:
    tune, share = work.recipe.tune, work.share(step.cuts)
    (task,) = map(load_task, step.tasks)
    wordings = work.shots(task, every=True)
    sizes = [tokens_of(shots) / len(shots) for shots in wordings]  # of one row in each wording
    row = _mean(sizes)
    seconds = tune.epochs * tune.shots * row * speed.learn.at(share)
    if tune.replay:
        windows = tune.shots * tune.replay.share / (1 - tune.replay.share)
        seconds += tune.epochs * windows * tune.replay.length * speed.text.at(share)
    if tune.prompt == ALL or (tune.prompt == AUTO and step.cuts):
        ranked = tune.shots * sum(sizes) * speed.score.at(share)
        seconds += ranked if tune.auto == "untuned" else ranked + len(wordings) * seconds
    if work.needs_teacher:
        texts = tune.distill.texts
        read = texts * (PROMPT * row + ENDED * tune.distill.length)
        seconds += tune.epochs * read * speed.text.at(share)
        if step.cuts:  # both tunings of a task learn from the same teacher
            written = texts * ENDED * tune.distill.length * speed.write.at(1)
            seconds += written + (read + work.turns(task) * tune.shots * row) * speed.score.at(1)
    return seconds


def _evaluate(step: Step, work: Workload, speed: Speed) -> float:
    evaluate, share = work.recipe.evaluate, work.share(step.cuts)
    seconds = 0.0
    for task in map(load_task, step.tasks):
        tuned = step.wording == SAME and task.name in {own.name for own in work.tasks}
        questions = work.questions_of(task, tuned=tuned)
        each = (
            tokens_of(questions) / len(questions) * (1 + evaluate.fewshot) * speed.score.at(share) + QUESTION
        )
        if task.kind == "generation":
            each += task.generation.max_new_tokens / 2 * speed.write.at(share)
        seconds += work.questions(task) * each
    for entry in step.corpora:
        name, length = window_of(entry, evaluate.length)
        tokens = min(_characters(name, work) / _letters(work), (evaluate.windows or MOST) * length)
        seconds += tokens * (speed.score.at(share) + (speed.score.at(1) if evaluate.kl else 0))
    return seconds


def _export(step: Step, work: Workload, speed: Speed) -> float:
    return 2 * work.share(step.cuts) * work.total / DISK


def _characters(corpus: str, work: Workload) -> int:
    if corpus in work.recipe.data or corpus.endswith(".txt"):
        return Path(work.recipe.data.get(corpus, corpus)).stat().st_size
    return CORPUS.get(corpus) or len(world.text("test"))


def _letters(work: Workload) -> float:
    """Mean number of characters per token in the tasks' text."""
    ids = _ids(work)
    return len("".join(str(work.tokenizer.decode(list(own))) for own in ids)) / sum(map(len, ids))


def _ids(work: Workload) -> list[tuple[int, ...]]:
    """Token ids of some rows with their right answers, in each wording that tuning may choose."""
    wordings = [shots for task in work.tasks for shots in work.shots(task, every=False)]
    return [shot.choices[0].ids for shots in wordings for shot in shots]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
