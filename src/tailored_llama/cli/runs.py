"""Commands for complete runs: run, demo, matrix, report, play."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tailored_llama.cli import options as opt
from tailored_llama.cli.show import show, show_matrix, show_outlook
from tailored_llama.recipe import Recipe


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A path, or the name of a bundled recipe.")],
    out: opt.Out,
    data: opt.Data = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    shots: opt.Shots = None,
    prompt: opt.PromptName = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    verify: opt.Verify = False,
    dry: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Run all stages of a recipe; complete stages are reused.

    Prints an estimate of time and disk before it starts, and the remaining time with each stage.
    """
    flags = {
        **opt.prune_flags(ratio, criterion, layers), "tune.shots": shots, "tune.prompt": prompt,
        "evaluate.limit": limit, **opt.shared_flags(seed, device, allow_config),
    }  # fmt: skip
    recipe_ = opt.recipe_of(recipe, sets, flags, data=data)
    from tailored_llama.workflows.sweep.cells import check_assigned

    check_assigned(recipe_, [key for key, _ in opt.assignments(sets, flags)])
    _run(recipe_, out, as_json, verify, dry)


def demo(
    out: opt.Out = Path("runs/demo"),
    sets: opt.Set = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    dry: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Run the bundled recipe on the bundled model and tasks: no network, a few minutes on two cores."""
    _run(opt.recipe_of("demo", sets, {"seed": seed, "device": device}), out, as_json, dry=dry)


def _run(recipe: Recipe, out: Path, as_json: bool, verify: bool = False, dry: bool = False) -> None:
    from tailored_llama.workflows.run import dry_run
    from tailored_llama.workflows.run import run as run_pipeline

    if dry:
        show_outlook(dry_run(recipe, out, verify=verify), as_json)
        return
    show(run_pipeline(recipe, out, verify=verify), as_json)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


def matrix(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A path, or the name of a bundled recipe.")],
    out: opt.Out,
    general: Annotated[
        Path | None,
        typer.Option("--general", metavar="FILE", help="JSON lines: instruction, input, output."),
    ] = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    shots: opt.Shots = None,
    prompt: opt.PromptName = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Tune the pruned model on each task and on general instructions; test each on all tasks.

    Writes matrix.json, matrix.png (a heat map) and matrix.html. The stages of a finished run of the same
    recipe in the same directory are reused. As many rows of FILE are drawn as a task has shots; the bundled
    world's tasks need no FILE.
    """
    flags = {
        **opt.prune_flags(ratio, None, None), "tune.shots": shots, "tune.prompt": prompt,
        "evaluate.limit": limit, **opt.shared_flags(seed, device, allow_config),
    }  # fmt: skip
    recipe_ = opt.recipe_of(recipe, sets, flags)
    from tailored_llama.workflows.cross_task import matrix as cross

    show_matrix(cross(recipe_, out, general=general), as_json)
    print(f"report: {out / 'matrix.html'}", file=sys.stderr)


def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
) -> None:
    """Write one page over one or several runs."""
    from tailored_llama.reporting import report as write_report

    print(write_report(directories, out))


def play(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Directories, hub ids, or `world`; dense first.")
    ],
    sets: opt.Set = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; browsers must use this name.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 7860,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
) -> None:
    """Open a local page to try models side by side; needs the extra `play`.

    All models get the same prompt. A tuned directory with only an adapter needs its base among the models.
    """
    settings = opt.recipe_of(None, sets, {}, "none")
    from tailored_llama.play import serving

    with (
        serving(
            models,
            data=settings.data,
            tasks=settings.tasks,
            host=host,
            port=port,
            device=device,
            allow_config=tuple(allow_config or ()),
        ) as address,
        suppress(KeyboardInterrupt),
    ):
        print(f"{address}   (Ctrl-C to stop)", flush=True)
        threading.Event().wait()


VERBS = (run, demo, matrix, report, play)
