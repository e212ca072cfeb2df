"""Tune: train LoRA adapters of a (pruned) model on a few shots of one task, in the task's prompts."""

from __future__ import annotations

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
from tailored_llama.results import ShotsRecord
from tailored_llama.scoring import Ranking
from tailored_llama.stage import Out, complete
from tailored_llama.stages.tune.specificity import specificities
from tailored_llama.stages.tune.stage import SHOTS, Job
from tailored_llama.stages.tune.wording import ranked

__all__ = ["chosen_prompt", "rank_wordings", "specificities", "tune"]


class Arguments(TuneKeys, total=False):
    """The keywords of `tune` that are not listed in its overloads."""

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

    `settings` are a recipe's `tune` keys, `overrides` single keys (`shots=20`). `data` maps a task to a local
    directory of its splits. A model in memory is not changed, and needs its `tokenizer` unless it was loaded
    from a directory. `allow_config` names unknown attributes of config.json to accept. `device` is the device
    for a model from disk; default the GPU if there is one. `teacher` is the unpruned model for `loss:
    distill`; it runs before the student is loaded.

    With `out`, writes `adapter/`, `history.jsonl`, `shots.json` and, with `merge`, the merged checkpoint in
    the form of the base, and returns the directory; a complete one is reused. Until then the teacher's
    distributions and, with `merge`, the trained adapter are in `teacher-*` and `trained-*` next to `out`; a
    call that failed resumes from them. Without `out`, returns the tuned model, merged or with its adapters.

    Raises DataError for too few rows, TaskError for an unknown task or prompt, TuneError if training
    diverges (nothing is left behind), CheckpointError for a base that cannot be read.
    """
    settings = settings_of(Tune, settings, "tune", **overrides)
    loaded_task = load_task(task)
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=loaded_task, settings=settings, seed=seed, data=(data or {}).get(loaded_task.name),
        tokenizer=tokenizer, device=device, texts=(data or {}).get("c4"),
        teacher=checkpoint.resolve(teacher) if isinstance(teacher, (str, Path)) else teacher,
    )  # fmt: skip
    with checkpoint.accepting(checkpoint.remembered_by(job.base)):  # for the teacher as well
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
    """Rank the wordings of `task` by how well `model` answers in them, untuned or tuned on halves of the
    shots (`settings.auto`); the most effective first.

    Uses the same shots as `tune` with the same `settings`, `seed` and `data`, so the first wording is the
    choice of `prompt: auto`. Raises DataError, TaskError and CheckpointError as `tune` does.
    """
    loaded_task, settings = load_task(task), settings or Tune()
    place = (data or {}).get(loaded_task.name)
    drawn = draw_shots(loaded_task, settings, seed=seed, data=place)
    job = Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        task=loaded_task, settings=settings, seed=seed, data=place, tokenizer=tokenizer, device=device,
    )  # fmt: skip
    loaded, words = job.ready()
    return ranked(loaded, words, loaded_task, drawn.rows, settings, seed=seed)


def chosen_prompt(directory: str | Path) -> str:
    """The wording in which the tuned directory `directory` was trained."""
    path = Path(directory) / SHOTS
    if not path.is_file():
        raise TuneError(f"{directory} is not a tuned directory (no {SHOTS}); name one that tune wrote")
    return checkpoint.read_record(ShotsRecord, path).prompt
