"""What is checked before the first stage of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tailored_llama import checkpoint
from tailored_llama.data import load_task, shots, task_names
from tailored_llama.data.text_windows import NAMED as SOURCES
from tailored_llama.data.text_windows import check_source
from tailored_llama.errors import RecipeError
from tailored_llama.machine import check_device
from tailored_llama.names import same_name
from tailored_llama.progress import note_once
from tailored_llama.recipe import Recipe, suggest
from tailored_llama.stages.evaluate.perplexity import NAMES as CORPORA
from tailored_llama.stages.evaluate.perplexity import check_corpus, window_of
from tailored_llama.stages.evaluate.questions import check_split
from tailored_llama.stages.export import format_named
from tailored_llama.stages.prune import check_request
from tailored_llama.training.loss import metric_of
from tailored_llama.training.rate import warn_of_rate
from tailored_llama.training.replay import held_count
from tailored_llama.workflows.steps import DENSE, HARNESS, SAME, cuts_of, has_labels, wordings

log = logging.getLogger(__name__)


def check(recipe: Recipe) -> None:
    """Check before the first stage what would make a later stage fail: a missing split, too few rows, an
    unknown prompt, an unsuitable loss, a missing text, a cut that the model does not allow. No check depends
    on the seed.
    """
    if not recipe.tasks:
        raise RecipeError("recipe: tasks: name at least one task to tailor the model to, e.g. tasks: [boolq]")
    if recipe.evaluate.prompt not in (SAME, HARNESS):
        _check_wording(recipe)
    check_device(recipe.device)
    warn_of_rate("tune", recipe.tune.learning_rate)
    if recipe.heal:
        warn_of_rate("heal", recipe.heal.learning_rate)
    check_source(recipe.prune.calibration.source)
    if recipe.heal and recipe.heal.text:
        check_source(recipe.heal.text.source, "heal.text.source")
    if recipe.tune.replay:
        check_source(recipe.tune.replay.source, "tune.replay.source")
    for entry in recipe.evaluate.perplexity:
        check_corpus(window_of(entry, recipe.evaluate.length)[0], recipe.data)
    for form in recipe.export.formats:
        format_named(form)  # fails for a plugin that cannot be executed
    held_count(recipe.tune.early_stop, recipe.tune.shots)
    if recipe.evaluate.split == "train" and not recipe.tune.reserve:
        raise RecipeError(
            "recipe: evaluate.split: train needs rows that are not used as shots; set tune.reserve: true"
        )
    tasks = {name: load_task(name) for name in dict.fromkeys((*recipe.tasks, *(recipe.evaluate.tasks or ())))}
    _check_names([task.name for task in tasks.values()])
    _warn_of_unread(recipe, [task.name for task in tasks.values()])
    for name, task in tasks.items():
        check_split(task, recipe.evaluate.split)
        data = recipe.data.get(task.name)
        scored = task.rows("scored", data)
        if name in recipe.tasks:
            metric_of(task, recipe.tune)
            shots.candidates(task, recipe.tune.prompt)
            shots.draw(
                task, task.rows("train", data), recipe.tune.shots, recipe.seed, scored=scored,
                select=recipe.tune.select, overlap=recipe.tune.overlap, reserve=recipe.tune.reserve,
            )  # fmt: skip
    if recipe.evaluate.prompt == HARNESS and not wordings(recipe, {}, HARNESS):
        raise RecipeError(
            f"recipe: evaluate.prompt: no task has the wording '{HARNESS}'; set evaluate.prompt to '{SAME}', "
            f"or add the wording to a task file"
        )
    if recipe.evaluate.batch_calibration:
        _check_calibration(recipe)
    check_request(checkpoint.open_weights(recipe.model), cuts_of(recipe)[1])


def _check_wording(recipe: Recipe) -> None:
    """RecipeError if the named `evaluate.prompt` is not tuned in for every task, TaskError if a task that is
    scored does not have it.
    """
    name, tune = recipe.evaluate.prompt, recipe.tune.prompt
    if tune == shots.AUTO or any(name not in shots.candidates(load_task(t), tune) for t in recipe.tasks):
        raise RecipeError(
            f"recipe: evaluate.prompt: a run scores in the tuned wording and in lm_eval's (same), only in "
            f"lm_eval's (harness), or in a prompt that every task is tuned in, not in '{name}'; to tune in "
            f"it, set tune.prompt to {name} or {shots.ALL}"
        )
    wordings(recipe, {}, name)


def _check_calibration(recipe: Recipe) -> None:
    """RecipeError if no task that is scored allows batch calibration in a wording that may be scored."""
    scored = recipe.evaluate.tasks or recipe.tasks
    for name in scored:
        task = load_task(name)
        prompts = [task.prompts.get(recipe.evaluate.prompt, task.prompt(task.stock)).name]
        if recipe.evaluate.prompt == SAME and name in recipe.tasks:
            prompts += shots.candidates(task, recipe.tune.prompt)
        if any(has_labels(recipe, name, prompt) for prompt in dict.fromkeys(prompts)):
            return
    raise RecipeError(
        "recipe: evaluate.batch_calibration: it needs a task of several questions that all have the same "
        f"answers (scored: {', '.join(scored)}); add one, or leave it out"
    )


def _warn_of_unread(recipe: Recipe, names: Sequence[str]) -> None:
    """Warn about each key of `data` that is not the name of a task or a text: it may be misspelt."""
    texts = [window_of(entry, recipe.evaluate.length)[0] for entry in recipe.evaluate.perplexity]
    for key in sorted(set(recipe.data) - {*names, *texts, *task_names(), *CORPORA, *SOURCES}):
        note_once(
            log, f"recipe: data: no task or text of this run is named '{key}'{suggest(key, names)}; not used"
        )


def _check_names(names: Sequence[str]) -> None:
    """RecipeError if two tasks would share a directory or a row: their names differ only in case, or one name
    is `dense-` plus the other, which is the directory of the tuned dense model.
    """
    duplicate = same_name([*names, *(f"{DENSE}{name}" for name in names)])
    if duplicate:
        raise RecipeError(
            f"recipe: tasks: two tasks would be named '{duplicate}' in this run; rename one of them"
        )
