"""The verbs of whole runs: run, demo, report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailored_llama.cli import options as opt
from tailored_llama.cli.show import show


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
        **opt.prune_flags(ratio, criterion, layers), "tune.shots": shots, "tune.prompt": prompt,
        "evaluate.limit": limit, "seed": seed,
    }  # fmt: skip
    wanted = opt.recipe_of(recipe, sets, flags)
    from tailored_llama.pipeline import run as run_pipeline

    show(run_pipeline(wanted, out), as_json)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


def demo(
    out: opt.Out = Path("runs/demo"),
    sets: opt.Set = None,
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """Run the bundled recipe on the bundled model and tasks: no network, a few minutes on two cores."""
    wanted = opt.recipe_of("demo", sets, {"seed": seed})
    from tailored_llama.pipeline import run as run_pipeline

    show(run_pipeline(wanted, out), as_json)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
) -> None:
    """One page over one or many runs."""
    from tailored_llama.report import report as write_report

    print(write_report(directories, out))


VERBS = (run, demo, report)
