"""The command `tailor`. Thin: every verb reads its options, calls one function and shows what it returned."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, TyperException

from tailored_llama import options as opt
from tailored_llama.errors import TailorError

app = typer.Typer(
    name="tailor",
    help="Prune a LLaMA-family model, tune it on a few examples of a task, and prove what it still can do.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
prompts_app = typer.Typer(help="The wordings of a task.", rich_markup_mode=None)
app.add_typer(prompts_app, name="prompts")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 2 the user's to mend, 1 ours, 130 interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("tailored_llama").setLevel(logging.INFO)
    sys.exit(_exit_code(arguments))


@app.callback(invoke_without_command=True)
def _verb(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TailorError as error:
        return _say(str(error), 2)
    except TyperException as error:
        return _say(f"{error.format_message()} See `tailor --help`.", 2)
    except (KeyboardInterrupt, Abort):
        return _say("interrupted; the same command goes on where this one stopped", 130)


def _say(message: str, code: int) -> int:
    print(f"tailor: {' '.join(message.split())}", file=sys.stderr)
    return code


def _show(result: dict[str, Any], as_json: bool) -> None:
    """Results on stdout: one JSON object, or tables."""
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console

    from tailored_llama.report import tables

    console = Console()
    for table in tables(result):
        console.print(table)


def _show_facts(facts: dict[str, Any], as_json: bool) -> None:
    """A flat result: one JSON object, or a line a fact."""
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<18} {value:,}" if isinstance(value, int) else f"{name:<18} {value}")


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A path, or the name of a bundled recipe.")],
    out: opt.Out,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    shots: opt.Shots = None,
    prompt: opt.PromptName = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """All stages of a recipe; resumes what is complete."""
    flags = {
        **_prune_flags(ratio, criterion, layers), "tune.shots": shots, "tune.prompt": prompt,
        "evaluate.limit": limit, "seed": seed,
    }  # fmt: skip
    wanted = opt.recipe_of(recipe, sets, flags)
    from tailored_llama.pipeline import run as run_pipeline

    _show(run_pipeline(wanted, out), as_json)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


@app.command()
def demo(
    out: opt.Out = Path("runs/demo"),
    sets: opt.Set = None,
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """Run the bundled recipe on the bundled model and tasks: no network, a few minutes on two cores."""
    wanted = opt.recipe_of("demo", sets, {"seed": seed})
    from tailored_llama.pipeline import run as run_pipeline

    _show(run_pipeline(wanted, out), as_json)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


@app.command()
def plan(
    model: opt.Model,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.json", help="The plan to write.")],
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    seed: opt.Seed = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Score and plan, cut nothing."""
    wanted = opt.recipe_of(recipe, sets, {**_prune_flags(ratio, criterion, layers), "seed": seed}, model)
    from tailored_llama.prune import make_plan

    made = make_plan(
        model, settings=wanted.prune, seed=wanted.seed, tasks=wanted.tasks, data=wanted.data,
        allow_config=tuple(allow_config or ()),
    )  # fmt: skip
    made.save(out)
    _show_facts({"plan": str(out), **{f"params_{k}": v for k, v in made.params.items()}}, as_json)


@app.command()
def prune(
    model: opt.Model,
    out: opt.Out,
    plan: Annotated[Path | None, typer.Option("--plan", metavar="FILE.json", help="Cut by this plan.")] = None,
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    seed: opt.Seed = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Plan and cut."""
    wanted = opt.recipe_of(recipe, sets, {**_prune_flags(ratio, criterion, layers), "seed": seed}, model)
    from tailored_llama.checkpoint import read_json
    from tailored_llama.prune import prune as prune_stage

    written = prune_stage(
        model, settings=wanted.prune, seed=wanted.seed, tasks=wanted.tasks, data=wanted.data, out=out,
        plan=plan, allow_config=tuple(allow_config or ()),
    )  # fmt: skip
    sizes = read_json(Path(str(written)) / "plan.json")["params"]
    _show_facts({"checkpoint": str(out), **{f"params_{k}": v for k, v in sizes.items()}}, as_json)


@app.command()
def tune(
    model: opt.Model,
    task: Annotated[str, typer.Option("--task", help="A task's name or YAML path.")],
    out: opt.Out,
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    shots: opt.Shots = None,
    prompt: opt.PromptName = None,
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """Few-shot LoRA on a task's prompts; writes adapter/ and the merged model."""
    wanted = opt.recipe_of(recipe, sets, {"tune.shots": shots, "tune.prompt": prompt, "seed": seed}, model)
    from tailored_llama.tune import chosen_prompt
    from tailored_llama.tune import tune as tune_stage

    written = Path(
        str(tune_stage(model, task=task, settings=wanted.tune, seed=wanted.seed, data=wanted.data, out=out))
    )
    _show_facts({"checkpoint": str(out), "prompt": chosen_prompt(written)}, as_json)


@app.command()
def evaluate(
    model: opt.Model,
    tasks: opt.Tasks = None,
    perplexity: Annotated[
        str | None, typer.Option("--perplexity", metavar="A,B", help="wikitext2, ptb, world or .txt files.")
    ] = None,
    out: opt.OptionalOut = None,
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    prompt: opt.PromptName = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """Accuracy and perplexity; lm_eval's wording unless --prompt names another."""
    flags = {
        "evaluate.tasks": opt.names(tasks) or None, "evaluate.perplexity": opt.names(perplexity) or None,
        "evaluate.prompt": prompt, "evaluate.limit": limit, "seed": seed,
    }  # fmt: skip
    wanted = opt.recipe_of(recipe, sets, flags, model)
    settings = wanted.evaluate
    from tailored_llama.evaluate import evaluate as evaluate_stage
    from tailored_llama.results import single

    row = evaluate_stage(
        model, tasks=settings.tasks or wanted.tasks, perplexity=settings.perplexity, data=wanted.data,
        # Alone there is no tuned wording to be the same as.
        prompt="harness" if settings.prompt == "same" else settings.prompt,
        length=settings.length, limit=settings.limit, fewshot=settings.fewshot, seed=wanted.seed, out=out,
    )  # fmt: skip
    _show(single(row, wanted), as_json)


@app.command()
def measure(
    model: opt.Model,
    config_only: Annotated[bool, typer.Option("--config-only", help="From config.json alone.")] = False,
    length: Annotated[int, typer.Option("--length", min=1, help="Tokens of the MACs and the prefill.")] = 64,
    as_json: opt.Json = False,
) -> None:
    """Parameters, MACs, memory, latency."""
    from tailored_llama.evaluate.measure import measure as measure_model

    _show_facts(measure_model(model, config_only=config_only, length=length), as_json)


@app.command()
def export(
    model: opt.Model,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="The artefact to write.")],
    to: Annotated[str, typer.Option("--to", help="hf: a standalone checkpoint with a model card.")] = "hf",
    adapter: Annotated[
        Path | None, typer.Option("--adapter", metavar="DIR", help="A tuned directory to merge first.")
    ] = None,
) -> None:
    """A release artefact."""
    from tailored_llama.export import export as export_stage

    print(export_stage(model, to=to, adapter=adapter, out=out))


@app.command()
def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
) -> None:
    """One page over one or many runs."""
    from tailored_llama.report import report as write_report

    print(write_report(directories, out))


@prompts_app.command("show")
def prompts_show(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name or YAML path.")],
    sets: opt.Set = None,
) -> None:
    """Every wording of a task, rendered on its first training row."""
    recipe = opt.recipe_of(None, sets, {}, "none")
    from tailored_llama.tasks import load_task

    loaded = load_task(task)
    row = loaded.rows("train", data=recipe.data.get(loaded.name))[0]
    for name in loaded.prompts:
        example = loaded.render(name, row, 0)
        print(f"--- {name}")
        for index, (context, answer) in enumerate(zip(example.contexts, example.answers, strict=True)):
            mark = "*" if index == example.gold else " "
            shown = context if index == 0 or context != example.contexts[0] else "..."
            print(f"{mark} {shown}[{answer}]")


@app.command()
def families() -> None:
    """The architectures that can be cut, and their units."""
    from tailored_llama.families import describe

    for name, units in describe().items():
        print(f"{name:<10} {', '.join(units)}")


@app.command()
def criteria() -> None:
    """The pruning criteria and where they come from."""
    from tailored_llama.prune import criteria as known

    for criterion in known():
        print(f"{criterion.name:<16} {criterion.reference}")


@app.command()
def tasks() -> None:
    """The tasks, their metric and prompts."""
    from tailored_llama.tasks import load_task, task_names

    for name in task_names():
        task = load_task(name)
        print(f"{name:<20} {task.metric:<9} {', '.join(task.prompts)}")


def _prune_flags(ratio: float | None, criterion: str | None, layers: str | None) -> dict[str, Any]:
    return {
        "prune.ratio": ratio,
        "prune.criterion": criterion,
        "prune.layers": opt.layer_range(layers) if layers else None,
    }
