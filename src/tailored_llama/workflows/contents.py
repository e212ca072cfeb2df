"""The contents of a recipe: its settings without paths, and digests of the files that it reads."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from tailored_llama import checkpoint
from tailored_llama.data import load_task
from tailored_llama.errors import CheckpointError
from tailored_llama.plugins import CRITERIA, FORMATS, LOSSES
from tailored_llama.recipe import Recipe
from tailored_llama.stage.inputs import (
    model_inputs,
    path_name,
    plugin_inputs,
    task_inputs,
    text_inputs,
    text_name,
)


def recipe_settings(recipe: Recipe) -> dict[str, JsonValue]:
    """The recipe without the paths of its model, data, tasks and texts, `allow_config` and `keep`."""
    settings = recipe.model_dump(mode="json", exclude={"model", "data", "allow_config", "keep"})
    settings["tasks"] = [load_task(name).name for name in recipe.tasks]
    if recipe.evaluate.tasks is not None:
        settings["evaluate"]["tasks"] = [load_task(name).name for name in recipe.evaluate.tasks]
    settings["evaluate"]["perplexity"] = [path_name(entry) for entry in recipe.evaluate.perplexity]
    settings["prune"]["calibration"]["source"] = text_name(recipe.prune.calibration.source, recipe.data)
    if recipe.heal is not None and recipe.heal.text is not None:
        settings["heal"]["text"]["source"] = text_name(recipe.heal.text.source, recipe.data)
    if recipe.tune.replay is not None:
        settings["tune"]["replay"]["source"] = text_name(recipe.tune.replay.source, recipe.data)
    return settings


def recipe_inputs(recipe: Recipe) -> dict[str, str]:
    """Digests of what a run of `recipe` reads, by role: the model, the tasks, rows and texts in files,
    and plugins."""
    inputs = model_inputs("model", checkpoint.resolve(recipe.model))()
    for name in dict.fromkeys((*recipe.tasks, *(recipe.evaluate.tasks or ()))):
        task = load_task(name)
        inputs |= task_inputs(task, recipe.data.get(task.name))
    inputs |= plugin_inputs(CRITERIA, [recipe.prune.criterion])
    inputs |= plugin_inputs(LOSSES, recipe.tune.loss) | plugin_inputs(FORMATS, recipe.export.formats)
    inputs |= text_inputs("calibration", recipe.prune.calibration.source, recipe.data)
    if recipe.heal is not None and recipe.heal.text is not None:
        inputs |= text_inputs("heal text", recipe.heal.text.source, recipe.data)
    if recipe.tune.replay is not None:
        inputs |= text_inputs("replay", recipe.tune.replay.source, recipe.data)
    for number, entry in enumerate(recipe.evaluate.perplexity, start=1):
        inputs |= text_inputs(f"perplexity {number}", entry.partition("@")[0], recipe.data)
    return inputs


def unchanged(recipe: Recipe) -> Callable[[], None]:
    """A check to be called during a run: CheckpointError if an input has changed since this call."""
    before = recipe_inputs(recipe)

    def check() -> None:
        now = recipe_inputs(recipe)
        changed = sorted(name for name in before.keys() | now if before.get(name) != now.get(name))
        if changed:
            raise CheckpointError(
                f"inputs of the run changed while it ran ({', '.join(changed)}), so its rows are not "
                "comparable; rerun the command: stages that do not depend on them are reused"
            )

    return check
