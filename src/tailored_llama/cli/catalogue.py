"""Commands that list what is available: families, criteria, losses, formats, tasks, prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from tailored_llama.cli import options as opt
from tailored_llama.cli.show import show_list, show_prompts, show_ranking
from tailored_llama.plugins import CRITERIA, FAMILIES, FORMATS, LOSSES, Kind, names, plugin_file, summary

prompts_app = typer.Typer(help="The wordings of a task.", rich_markup_mode=None)


@prompts_app.command("show")
def promptsshow(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name or YAML path.")],
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Show every wording of a task, rendered on its first training row."""
    recipe = opt.recipe_of(None, sets, {}, "none")
    from tailored_llama.data import load_task

    loaded = load_task(task)
    rows = loaded.rows("train", data=recipe.data.get(loaded.name))
    examples = {name: loaded.render(name, rows[0], 0, rows.where) for name in loaded.prompts}
    show_prompts(loaded.name, examples, as_json)


@prompts_app.command("rank")
def promptsrank(
    model: opt.Model,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name or YAML path.")],
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    shots: opt.Shots = None,
    specificity: Annotated[
        str | None,
        typer.Option("--specificity", metavar="A,B", help="Other tasks to compare with; tunes."),
    ] = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Rank the wordings of a task by effectiveness, measured on the shots that tuning would draw.

    Ordered by accuracy, then by margin: the probability of the correct choice minus that of the best other
    one (for generation tasks: by the task's metric, then by the probability of the correct text). `first` is
    the share of 1000 resampled sets of shots in which the wording is the best. Intervals cover 95%. The last
    line is the cross-validated score: that of the best wording of a resample on the shots outside it.

    The model is not tuned; with --set tune.auto=tuned it is tuned on each half of the shots and scored on the
    other (two-fold cross-validation).

    --specificity adds the gain in margin from tuning in each wording on this task (cross-validated on the
    shots), minus the gain on the other tasks.
    """
    settings_ = opt.recipe_of(
        recipe, sets, {"tune.shots": shots, **opt.shared_flags(seed, device, allow_config)}, model
    )
    from tailored_llama.results import PromptRanking
    from tailored_llama.stages.tune import rank_wordings, specificities

    ranking = rank_wordings(
        model,
        task=task,
        settings=settings_.tune,
        seed=settings_.seed,
        data=settings_.data,
        device=settings_.device,
        allow_config=settings_.allow_config,
    )
    specific = specificities(
        model, task=task, others=opt.names(specificity), settings=settings_.tune, seed=settings_.seed,
        data=settings_.data, device=settings_.device, allow_config=settings_.allow_config,
    ) if specificity else []  # fmt: skip
    result = PromptRanking(
        task=task, compared=settings_.tune.auto, wordings=list(ranking.wordings), held_out=ranking.held_out,
        specificity=specific,
    )  # fmt: skip
    show_ranking(result, as_json)


def families(as_json: opt.Json = False) -> None:
    """List the architectures that can be pruned: their units, their form in llama.cpp, import from GGUF."""
    from tailored_llama.families import describe, family_named, llama_cpp

    rows = []
    for name, units in describe().items():
        table = family_named(name)
        read = "yes" if table.gguf_import else "no"
        rows.append(_row(FAMILIES, name, units=list(units), gguf=llama_cpp(table), gguf_import=read))
    show_list("families", rows, as_json)


def criteria(as_json: opt.Json = False) -> None:
    """List the pruning criteria and their references."""
    from tailored_llama.stages.prune.criterion import known_criteria

    rows = [_row(CRITERIA, criterion.name, reference=criterion.reference) for criterion in known_criteria()]
    show_list("criteria", rows, as_json)


def losses(as_json: opt.Json = False) -> None:
    """List the losses of tuning."""
    from tailored_llama.training.loss import loss_named

    _show_described(LOSSES, loss_named, as_json)


def formats(as_json: opt.Json = False) -> None:
    """List the export formats."""
    from tailored_llama.stages.export import format_named

    _show_described(FORMATS, format_named, as_json)


def _show_described(kind: Kind, check: Callable[[str], object], as_json: bool) -> None:
    """List all of a kind with their descriptions; `check` raises for an invalid plugin."""
    for name in names(kind):
        check(name)
    show_list(kind.folder, [_row(kind, name, about=summary(kind, name)) for name in names(kind)], as_json)


def _row(kind: Kind, name: str, **about: str | Sequence[str]) -> dict[str, str | Sequence[str]]:
    """A line of a list; for a plugin with its file."""
    file = plugin_file(kind, name)
    return {"name": name, **about, **({"plugin": str(file)} if file else {})}


def tasks(as_json: opt.Json = False) -> None:
    """List the tasks with their metrics and prompts."""
    from tailored_llama.data import load_task, task_names

    loaded = map(load_task, task_names())
    rows = [{"name": task.name, "metric": task.metric, "prompts": list(task.prompts)} for task in loaded]
    show_list("tasks", rows, as_json)


VERBS = (families, criteria, losses, formats, tasks)
