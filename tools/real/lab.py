"""The lab on a real LLaMA: run the missing cells, store their figures, and render the page.

    python -m tools.real.lab --model DIR [--data DIR] [--only lab-real-cut] [--cells NAME,NAME]   # runs
    python -m tools.real.lab --run runs/real/smollm2-20                  # stores the figures of a single run
    python -m tools.real.lab                                                                      # renders

Every finished cell of the recipes `lab-real-*` has a small file in docs/lab/data/real/RECIPE/. Cells without
one are run by `tailor run` in `--work`, which resumes; docs/lab/real.md is rendered from the files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.errors import CheckpointError
from tailored_llama.recipe import Recipe, bundled_recipes, load_recipe
from tailored_llama.results import STAGES, Results, Row, combine, read_results, results_of
from tailored_llama.workflows.majority import majority
from tailored_llama.workflows.sweep.cells import Cell, cells_of
from tools.real.page import RUNS, WORDINGS, render

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "lab" / "data" / "real"
PAGE = ROOT / "docs" / "lab" / "real.md"
PREFIX = "lab-real-"
KEPT = ("main", "stderr", "chance", "n")


def lab_recipes() -> list[str]:
    """The bundled recipes of this lab."""
    return [name for name in bundled_recipes() if name.startswith(PREFIX)]


def missing(recipe: str) -> list[Cell]:
    """The cells of a recipe whose figures are not stored yet."""
    return [
        cell
        for cell in cells_of(load_recipe(recipe))
        if not (FIGURES / recipe / f"{cell.name}.json").is_file()
    ]


def harvest(recipe: str, work: Path) -> None:
    """Store the figures of every finished cell in `work`."""
    for cell in missing(recipe):
        path = work / recipe / "cells" / cell.name / "results.json"
        if path.is_file():
            about = {"recipe": recipe, "cell": cell.name, "seed": cell.seed, "chosen": cell.chosen}
            results = read_results(path, checkpoint.read_json(path))
            store(results, about, FIGURES / recipe / f"{cell.name}.json")


def harvest_run(directory: Path) -> None:
    """Store the figures of one run of a recipe without a sweep; of an unfinished one, those of the wordings
    in which every stage has been scored.
    """
    path = directory / "results.json"
    finished = path.is_file()
    results = read_results(path, checkpoint.read_json(path)) if finished else so_far(directory)
    own = Recipe.model_validate(results.recipe)
    about = {"recipe": directory.name, "seed": own.seed, "limit": own.evaluate.limit, "finished": finished}
    store(results, about, FIGURES / RUNS / f"{directory.name}-{own.seed}.json")


def so_far(directory: Path) -> Results:
    """The results of an unfinished run, from the rows that its complete evaluations wrote."""
    recipe = Recipe.model_validate(checkpoint.read_json(directory / "recipe.json"))
    paths = sorted(directory.glob("evaluate-*/results.json"))
    parts = [read_results(path, checkpoint.read_json(path)) for path in paths]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in (row for part in parts for row in part.rows):
        groups.setdefault((row.prompt, row.stage), []).append(row)
    rows = [
        combine(groups[wording, stage]) if len(groups[wording, stage]) > 1 else groups[wording, stage][0]
        for wording in WORDINGS for stage in STAGES if (wording, stage) in groups
    ]  # fmt: skip
    complete = [row for row in rows if len(row.tasks) == len(recipe.tasks)]
    whole = {w for w in WORDINGS if len([row for row in complete if row.prompt == w]) == len(STAGES)}
    kept = [row for row in complete if row.prompt in whole]
    if not kept:
        raise CheckpointError(f"{directory}: no wording is scored completely yet; resume the run")
    floor = majority(recipe, {name: figures for row in kept for name, figures in row.tasks.items()})
    return results_of(kept, recipe.model_dump(mode="json"), parts[0].versions, majority=floor)


def store(results: Results, about: Mapping[str, Any], target: Path) -> None:
    """Write the part of `results` that the page needs."""
    kept = {**about, "rows": [small(row) for row in results.rows], "versions": results.versions}
    if results.majority:
        kept["majority"] = {name: entry.main for name, entry in results.majority.tasks.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def small(row: Row) -> dict[str, Any]:
    """The part of a row that the page needs."""
    return {
        "stage": row.stage, "prompt": row.prompt, "task_tuned": row.task_tuned, "params": row.params,
        "mean": row.mean, "chance": row.chance, "seconds": row.seconds,
        "tasks": {name: {key: task[key] for key in KEPT} for name, task in row.tasks.items()},
        "perplexity": {
            name: {"perplexity": p.perplexity, "kl": p.kl, "windows": p.windows, "length": p.length}
            for name, p in row.perplexity.items()
        },
    }  # fmt: skip


def run(recipe: str, cells: Sequence[Cell], work: Path, options: Sequence[str]) -> int:
    """Run `cells` of a recipe by `tailor run`, by seed and ratio; returns the first nonzero exit code."""
    own: dict[str, Any] = load_recipe(recipe).sweep or {}
    groups: dict[tuple[int, float], dict[str, Any]] = {}
    for cell in cells:
        name = cell.chosen["variant"]
        groups.setdefault((cell.seed, cell.recipe.prune.ratio), {})[name] = own["variants"][name]
    for (seed, ratio), variants in sorted(groups.items()):
        # As one mapping: single keys would be added to the variants of the recipe.
        sweep = {**own, "seed": [seed], "prune.ratio": [ratio], "variants": variants}
        command = [
            "run",
            recipe,
            "--out",
            str(work / recipe),
            "--set",
            f"sweep={json.dumps(sweep)}",
            *options,
        ]
        code = subprocess.call([sys.executable, "-m", "tailored_llama", *command])
        harvest(recipe, work)
        if code:
            return code
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tools.real.lab", description=__doc__)
    parser.add_argument(
        "--model", metavar="DIR", help="an imported checkpoint, or a hub id; without it nothing runs"
    )
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--only", default="", metavar="RECIPE,RECIPE")
    parser.add_argument("--cells", default="", metavar="VARIANT,VARIANT")
    parser.add_argument("--ratio", type=float, help="only cells of this ratio")
    parser.add_argument("--work", type=Path, default=Path("runs/lab-real"), metavar="DIR")
    parser.add_argument("--run", type=Path, action="append", default=[], metavar="DIR")
    chosen = parser.parse_args(arguments)
    for directory in chosen.run:
        harvest_run(directory)
    wanted = [name for name in lab_recipes() if not chosen.only or name in chosen.only.split(",")]
    code = 0
    for recipe in wanted:
        harvest(recipe, chosen.work)
        if not chosen.model or code:
            continue
        cells = [
            cell for cell in missing(recipe)
            if (not chosen.cells or cell.chosen["variant"] in chosen.cells.split(","))
            and (chosen.ratio is None or cell.recipe.prune.ratio == chosen.ratio)
        ]  # fmt: skip
        options = ["--set", f"model={chosen.model}", *(["--data", chosen.data] if chosen.data else [])]
        code = run(recipe, cells, chosen.work, options)
    PAGE.write_text(render(FIGURES, {name: missing(name) for name in lab_recipes()}), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
