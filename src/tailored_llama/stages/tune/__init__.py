"""Tune: a few shots of one task, in the task's own words, into LoRA adapters on the (pruned) model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack, overload

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.data import Task, load_task
from tailored_llama.data.shots import draw_shots
from tailored_llama.errors import TuneError
from tailored_llama.memory import memory_for
from tailored_llama.recipe import Tune, settings_of
from tailored_llama.recipe.keywords import TuneKeys
from tailored_llama.scoring import Ranking
from tailored_llama.stage import Out, complete
from tailored_llama.stages.tune.specificity import specificities
from tailored_llama.stages.tune.stage import SHOTS, Job
from tailored_llama.stages.tune.wording import ranked

__all__ = ["chosen_prompt", "rank_wordings", "specificities", "tune"]


class Arguments(TuneKeys, total=False):
    """The keywords that `tune` takes beside those in its overloads."""

    settings: Tune | None
    seed: int
    data: Mapping[str, str] | None
    merge: bool
    tokenizer: PreTrainedTokenizerBase | None
    allow_config: Sequence[str]
    device: str | None
    teacher: str | Path | PreTrainedModel | None


@overload
def tune(
    model: str | Path | PreTrainedModel,
    *,
    task: str | Path | Task,
    out: Out,
    **arguments: Unpack[Arguments],
) -> Path: ...
@overload
def tune(
    model: str | Path | PreTrainedModel,
    *,
    task: str | Path | Task,
    out: None = None,
    **arguments: Unpack[Arguments],
) -> PreTrainedModel | PeftModel: ...
@checkpoint.takes_allow_config
@memory_for("tune", "lower tune.batch_size or tune.lora.r")
def tune(
    model: str | Path | PreTrainedModel,
    *,
    task: str | Path | Task,
    settings: Tune | None = None,
    seed: int = 42,
    data: Mapping[str, str] | None = None,
    out: Out | None = None,
    merge: bool = True,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    teacher: str | Path | PreTrainedModel | None = None,
    **overrides: Unpack[TuneKeys],
) -> Path | PreTrainedModel | PeftModel:
    """Tune `model` to `task` on a few labelled shots by LoRA (Aftab and Davy 2024; Hu et al. 2021).

    `settings` are a recipe's `tune` keys, `overrides` single ones on top (`shots=20`). `data` maps a task
    to a local directory of its splits. A model in memory is left as it was, and needs its `tokenizer`
    unless it was loaded from a directory. `allow_config` names attributes of config.json to accept that no
    table knows. `device`: where a model from disk is put; default the GPU where there is one. `teacher` is
    the unpruned model that `loss: distill` learns from; it is run before the student is loaded.

    With `out`, writes `adapter/`, `history.jsonl`, `shots.json` and, with `merge`, the merged checkpoint in
    the base's own form, and returns the directory; returns at once where that is complete. Until then the
    teacher's distributions and, with `merge`, what was trained are in `teacher-*` and `trained-*` beside
    `out`, from which a call that failed goes on. Without, returns the tuned model, merged or with its
    adapters on.

    Raises DataError for too few rows, TaskError for an unknown task or prompt, TuneError where training
    diverges (nothing is left behind), CheckpointError for a base that cannot be read.
    """
    settings = settings_of(Tune, settings, overrides, "tune")
    asked = load_task(task)
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=asked, settings=settings, seed=seed, data=(data or {}).get(asked.name),
        tokenizer=tokenizer, device=device, texts=(data or {}).get("c4"),
        teacher=checkpoint.resolve(teacher) if isinstance(teacher, (str, Path)) else teacher,
    )  # fmt: skip
    with checkpoint.accepting(checkpoint.remembered_by(job.base)):  # of the teacher as well
        return complete(job.stage(merge=merge), out) if out is not None else job.run().model(merge=merge)


@checkpoint.takes_allow_config
@memory_for("prompts rank", "lower tune.batch_size or tune.lora.r")
def rank_wordings(
    model: str | Path | PreTrainedModel,
    *,
    task: str,
    settings: Tune | None = None,
    seed: int = 42,
    data: Mapping[str, str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
) -> Ranking:
    """How well `model` answers in every wording of `task`, the most effective first: as it is, or tuned on
    halves of the shots (`settings.auto`).

    Asked are the very shots that `tune` with the same `settings`, `seed` and `data` would train on, so the
    first is what its `prompt: auto` takes. Raises DataError, TaskError and CheckpointError as `tune` does.
    """
    asked, settings = load_task(task), settings or Tune()
    place = (data or {}).get(asked.name)
    drawn = draw_shots(asked, settings, seed=seed, data=place)
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=asked, settings=settings, seed=seed, data=place, tokenizer=tokenizer, device=device,
    )  # fmt: skip
    loaded, words = job.ready()
    return ranked(loaded, words, asked, drawn.rows, settings, seed=seed)


def chosen_prompt(directory: str | Path) -> str:
    """The wording that the tuned directory `directory` was trained on."""
    path = Path(directory) / SHOTS
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["prompt"])
    except (OSError, ValueError, KeyError):
        raise TuneError(f"{directory} is no tuned directory (no {SHOTS}); name one that tune wrote") from None
