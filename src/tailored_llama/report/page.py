"""The page: what was read, put in the order of the template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tailored_llama.report import pictures, words
from tailored_llama.report.read import Run

TEMPLATE = "page.html.jinja"


def page(runs: Sequence[Run]) -> str:
    """The whole HTML text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": words.percent, "points": words.points, "count": words.count, "size": words.size,
        "short": words.short, "wording": words.wording, "cut_prompts": words.cut_prompts,
        "picked": words.picked, "between": words.between, "named": words.named, "unended": words.unended,
    }  # fmt: skip
    source = (resources.files("tailored_llama.report") / TEMPLATE).read_text(encoding="utf-8")
    names = [run.directory.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.directory) for run in runs]
    return environment.from_string(source).render(
        sections=[
            section(run, name, f"run-{i}") for i, (run, name) in enumerate(zip(runs, names, strict=True))
        ],
        labels=words.LABELS,
        world=words.WORLD,
    )


def section(run: Run, name: str, anchor: str) -> dict[str, Any]:
    """What the template shows of one run; `anchor` is its id on the page."""
    results = run.results
    stages = results.stages()
    recipe = results.recipe
    pruning, tuning = recipe.get("prune") or {}, recipe.get("tune") or {}
    return {
        "id": anchor,
        "name": name,
        "model": "The bundled model" if recipe["model"] == "world" else recipe["model"],
        "results": results,
        "stages": stages,
        "headline": words.headline(stages, tuning.get("shots", 0)),
        "pruned": run.plan is not None,
        "prune": pruning,
        "tune": tuning,
        "accuracy": {w: _picture(pictures.accuracies(results, w), f"{anchor}-{w}") for w in results.wordings},
        "widths": _picture(pictures.widths(*run.widths), f"{anchor}-widths") if run.widths else None,
        "losses": _picture(pictures.losses(run.tunings), f"{anchor}-losses") if run.tunings else None,
        "sizes": _sizes(run),
        "prompts": [t for t in run.tunings if t.base == "pruned"],
        "recipe": json.dumps(recipe, indent=2, ensure_ascii=False),
        "versions": results.content.get("versions", {}),
        "command": f"tailor run {run.directory / 'recipe.json'} --out another/directory",
        "reproducible": (run.directory / "recipe.json").is_file(),
    }


def _sizes(run: Run) -> list[dict[str, Any]]:
    """Parameters, MACs and bytes of the weights of the dense and the pruned model, in the pruned one's dtype:
    pruning does not change it."""
    dtype = getattr(run.pruned_config, "dtype", None)
    return [
        {"stage": stage, "params": row["params"], "macs": row["macs"], "peak_memory": row["peak_memory"],
         "bytes": row["params"] * dtype.itemsize if dtype else None}
        for stage, row in run.results.stages().items() if stage in ("dense", "pruned")
    ]  # fmt: skip


def _picture(svg: str, prefix: str) -> Markup:
    """The picture with ids of its own, so that several can stand on one page."""
    for mark in ('id="', 'xlink:href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{prefix}-")
    return Markup(svg)
