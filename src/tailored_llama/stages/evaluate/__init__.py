"""Evaluate: accuracy through lm_eval, generated answers, perplexity by LLM-Pruner's protocol, sizes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint, families
from tailored_llama.checkpoint.lineage import stage_of
from tailored_llama.data import Task, load_task
from tailored_llama.errors import NotFiniteError, RecipeError
from tailored_llama.machine import peak_gpu_memory, peak_memory, reset_peak
from tailored_llama.memory import memory_for
from tailored_llama.recipe import Evaluate, settings_of
from tailored_llama.recipe.keywords import EvaluateKeys
from tailored_llama.results import CorpusFigures, Row, TaskFigures, read_results, results_of
from tailored_llama.stage import Out, Stage, complete, versions
from tailored_llama.stage.inputs import model_inputs, path_name, task_inputs, text_inputs
from tailored_llama.stages.evaluate.models import ModelLike, load, reference_of, tokenizer_of
from tailored_llama.stages.evaluate.perplexity import corpus, window_of
from tailored_llama.stages.evaluate.perplexity import perplexity as measure_perplexity
from tailored_llama.stages.evaluate.questions import Questions, check_calibration
from tailored_llama.strict_json import Json

__all__ = ["evaluate"]

# (row of results.json, {task: scores of its questions in order})
Measured: TypeAlias = tuple[Row, dict[str, list[float]]]
RIGHT = "right.json"
SAME = "same"
STOCK = "stock"
"""The wording of a row whose tasks have differently named stock wordings."""


@checkpoint.takes_allow_config
@memory_for("evaluate", "lower evaluate.batch_size, evaluate.fewshot or evaluate.length (perplexity windows)")
def evaluate(
    model: ModelLike,
    *,
    tasks: str | Path | Sequence[str | Path] | None = None,
    settings: Evaluate | None = None,
    prompts: Mapping[str, str] | None = None,
    adapter: str | Path | None = None,
    base_unchecked: bool = False,
    reference: ModelLike | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    data: Mapping[str, str | Path] | None = None,
    seed: int = 42,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    out: Out | None = None,
    **overrides: Unpack[EvaluateKeys],
) -> Row:
    """One row of `results.json`: every task's figures, their mean, perplexities, sizes, seconds and memory.

    `settings` are a recipe's `evaluate` keys, `overrides` single keys (`limit=100`); `tasks` defaults to
    those in `settings`. The defaults are the recipe's, with one difference: outside a run there is no tuned
    wording, so `prompt: same` means each task's stock wording (lm_eval's, or the task's first one).

    Weights are used in their stored precision, unless `precision` is `fp32`. With `kl`, perplexities include
    the divergence from the predictions of `reference`, the unpruned model. Tasks are scored in the wording
    `prompts[task]`, else `prompt`. `adapter` (a tuned directory, or its `adapter/`) is merged into the model
    in memory first; with `base_unchecked` its base is not verified, for adapters that another program
    trained. A model in memory needs its `tokenizer`. `allow_config` names unknown attributes of config.json
    to accept. `limit` scores the first rows of each split, which is the task's scored one or, for choosing
    settings, `validation` or `train`; `length` is the perplexity window in tokens, unless a corpus names its
    own (`wikitext2@2048`). `device` defaults to the GPU if there is one; a model in memory is not moved. With
    `out`, writes `results.json` and `right.json` (the score of each question by task); an existing result for
    the same settings and files is returned at once.

    With `batch_calibration`, tasks whose questions all have the same answers are calibrated by the scored
    questions; RecipeError where no task has such questions.

    `params`, and `macs` of one sequence of 64 tokens, are computed from the config, without adapter.
    `peak_memory` is that of the process, in bytes. Raises TaskError, DataError, CheckpointError, FamilyError,
    TuneError, OutputError.
    """
    chosen = _chosen(settings, overrides)
    prompt = None if chosen.prompt == SAME else chosen.prompt
    perplexity, length, limit, fewshot = chosen.perplexity, chosen.length, chosen.limit, chosen.fewshot
    split, batch_size = chosen.split, chosen.batch_size
    tasks = (chosen.tasks or ()) if tasks is None else [tasks] if isinstance(tasks, str | Path) else tasks
    wordings = {task: _wording(task, name, prompts, prompt) for name in tasks for task in [load_task(name)]}
    places = {name: str(path) for name, path in (data or {}).items()}
    tuned = checkpoint.named_adapter(adapter, base_unchecked=base_unchecked)
    if chosen.kl and reference is None:
        raise RecipeError(
            "evaluate.kl: the divergence needs a reference model; name the unpruned one (--reference MODEL)"
        )

    in_memory = isinstance(model, PreTrainedModel)
    reusable = not in_memory and not isinstance(reference, PreTrainedModel)

    def measure() -> Measured:
        started = time.perf_counter()
        reset_peak()
        questions = _questions(wordings, places, limit=limit, fewshot=fewshot, seed=seed, split=split)
        if chosen.batch_calibration:
            check_calibration(questions)
        texts = _texts(perplexity, length, places)
        try:
            loaded = load(model, tuned, device, base_unchecked, chosen.precision)
        except NotFiniteError as error:  # name what would have been scored first
            raise NotFiniteError(f"{_first(questions, texts)}: {error}") from None
        words = tokenizer or tokenizer_of(model)
        other = reference_of(chosen, reference, loaded) if texts else None
        scored = _score(loaded, words, questions, batch_size, calibrate=chosen.batch_calibration)
        figures = {name: entry for name, (entry, _) in scored.items()}
        gpu = peak_gpu_memory(loaded.device)
        row = Row(
            stage=stage_of(model, adapter=bool(adapter)), task_tuned=None,
            params=families.parameter_count(loaded.config), macs=families.mac_count(loaded.config),
            tasks=figures, prompt="same" if prompts else prompt or _common_wording(wordings),
            mean=_mean([entry.main for entry in figures.values()]),
            chance=_mean([entry.chance for entry in figures.values()]),
            perplexity=_perplexities(loaded, words, texts, most=chosen.windows, reference=other),
            seconds=round(time.perf_counter() - started, 3), peak_memory=peak_memory(),
            **({} if gpu is None else {"peak_gpu_memory": gpu}),
        )  # fmt: skip
        return row, {name: right for name, (_, right) in scored.items()}

    if out is None:
        return measure()[0]
    corpora = [window_of(entry, length)[0] for entry in perplexity]
    about: dict[str, Json] = {
        "tasks": {task.name: wording for task, wording in wordings.items()},
        "perplexity": [path_name(entry) for entry in perplexity], "length": length, "limit": limit,
        "fewshot": fewshot, "batch_size": batch_size, "split": split, "base_unchecked": base_unchecked,
        "windows": chosen.windows, "kl": chosen.kl, "precision": chosen.precision,
        **({"batch_calibration": True} if chosen.batch_calibration else {}),
    }  # fmt: skip

    def inputs() -> dict[str, str]:
        digests = {} if in_memory else model_inputs("model", checkpoint.resolve(model))()
        if chosen.kl and reference is not None and not isinstance(reference, PreTrainedModel):
            digests |= model_inputs("reference", checkpoint.resolve(reference))()
        if tuned:
            digests["adapter"] = checkpoint.adapter_digest(tuned)
        for task in wordings:
            digests |= task_inputs(task, places.get(task.name))
        for number, name in enumerate(corpora, start=1):
            digests |= text_inputs(f"perplexity {number}", name, places)
        return digests

    def produce(folder: Path) -> None:
        row, right = measure()
        names: dict[str, Json] = {
            "model": "in memory" if in_memory else str(model),
            "adapter": str(adapter) if adapter else None,
        }
        recipe: dict[str, Json] = {
            "evaluate": names | about | {"perplexity": list(perplexity)},
            "seed": seed,
        }
        document = results_of([row], recipe, versions(), relative=False)
        checkpoint.write_json(folder / "results.json", document.to_json())
        checkpoint.write_json(folder / RIGHT, right, indent=None)

    # Without few-shot examples nothing is drawn, so the row does not depend on the seed. A model in memory
    # has no file digest, so its result is never reused.
    stage = Stage(
        "evaluate", about, inputs, produce, seed=seed if fewshot else None, reusable=reusable
    )  # fmt: skip
    row = _read_row(complete(stage, out), perplexity)
    return row.model_copy(update={"stage": stage_of(model, adapter=bool(adapter))})


def _chosen(settings: Evaluate | None, overrides: EvaluateKeys) -> Evaluate:
    """The settings with `overrides`; a prompt of None means the default, and corpora may be paths."""
    named: dict[str, Any] = {key: value for key, value in overrides.items() if key != "prompt"}
    if overrides.get("prompt") is not None:
        named["prompt"] = overrides["prompt"]
    if "perplexity" in named:
        named["perplexity"] = [str(entry) for entry in named["perplexity"]]
    return settings_of(Evaluate, settings, "evaluate", **named)


def _read_row(directory: Path, perplexity: Sequence[str]) -> Row:
    """The row in `directory`, with the current names of its texts, whose paths may have changed."""
    path = directory / "results.json"
    (row,) = read_results(path, checkpoint.read_json(path)).rows
    figures = dict(zip(dict.fromkeys(perplexity), row.perplexity.values(), strict=True))
    return row.model_copy(update={"perplexity": figures})


def _wording(task: Task, name: str | Path, prompts: Mapping[str, str] | None, prompt: str | None) -> str:
    """The wording in which `task`, requested as `name`, is scored; by default its stock wording. TaskError
    for an unknown wording.
    """
    by_task = prompts or {}
    return task.prompt(by_task.get(str(name)) or by_task.get(task.name) or prompt or task.stock).name


def _common_wording(wordings: Mapping[Task, str]) -> str:
    """The wording of a row: the one that all its tasks share, else STOCK."""
    names = {*wordings.values()} or {"harness"}
    return names.pop() if len(names) == 1 else STOCK


def _questions(wordings: Mapping[Task, str], places: Mapping[str, str], **settings: Any) -> list[Questions]:
    return [
        Questions.of(task, prompt, places.get(task.name), **settings) for task, prompt in wordings.items()
    ]


def _score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Questions],
    batch_size: int | Literal["auto"],
    *,
    calibrate: bool,
) -> dict[str, tuple[TaskFigures, list[float]]]:
    size = None if batch_size == "auto" else batch_size
    figures: dict[str, tuple[TaskFigures, list[float]]] = {}
    choices = [entry for entry in questions if entry.task.kind == "choice"]
    if choices:
        from tailored_llama.stages.evaluate.harness import (  # lm_eval takes seconds to import
            Model,
            score_task,
        )

        lm = Model(model, tokenizer, size)
        figures = {entry.task.name: score_task(lm, entry, calibrate=calibrate) for entry in choices}
    if len(choices) < len(questions):
        from tailored_llama.stages.evaluate.generation import score_written

        generated = [entry for entry in questions if entry.task.kind == "generation"]
        figures |= {entry.task.name: score_written(model, tokenizer, entry, size) for entry in generated}
    return {entry.task.name: figures[entry.task.name] for entry in questions}


def _texts(entries: Sequence[str], length: int, places: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """{requested name: (text, window)} of every corpus."""
    windows = {entry: window_of(entry, length) for entry in entries}
    return {entry: (corpus(name, places), window) for entry, (name, window) in windows.items()}


def _perplexities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Mapping[str, tuple[str, int]],
    *,
    most: int | None,
    reference: PreTrainedModel | None,
) -> dict[str, CorpusFigures]:
    return {
        name: CorpusFigures.model_validate(
            measure_perplexity(model, tokenizer, text, length, name, most=most, reference=reference)
        )
        for name, (text, length) in texts.items()
    }


def _first(questions: Sequence[Questions], texts: Mapping[str, Any]) -> str:
    """A description of what is scored first, for messages."""
    return f"{questions[0].place}, row 1" if questions else f"perplexity of {', '.join([*texts][:1])}"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
