"""The report page: the content of its template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from tailored_llama.reporting import formatting, overview, pictures, scatter, totals
from tailored_llama.reporting.read import Run
from tailored_llama.reporting.templating import render
from tailored_llama.results import MeasuredModel, Results
from tailored_llama.strict_json import to_json


def page(runs: Sequence[Run], measured: Sequence[MeasuredModel] = ()) -> str:
    """The HTML page; `measured` are the models in the output of `tailor measure`."""
    names = [run.directory.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.directory) for run in runs]
    placed = [(name, f"run-{i}", run) for i, (name, run) in enumerate(zip(names, runs, strict=True))]
    lines = overview.lines(placed, measured)
    many = len(runs) > 1 or bool(overview.ways(lines))
    return render(
        "report",
        sections=[section(run, name, anchor) for name, anchor, run in placed],
        labels=formatting.LABELS,
        synthetic=formatting.SYNTHETIC,
        **(_overview(lines) if many else {"lines": []}),
    )


def _overview(lines: Sequence[overview.Line]) -> dict[str, Any]:
    """What the template shows before the runs."""
    quantity = formatting.quantity([row for line in lines for row in line.stages.values()])
    ways = overview.ways(lines)
    drawn = [("", scatter.against_ratio(lines, quantity))] if any(line.left for line in lines) else []
    drawn += [
        (f"{overview.way_label(way)}; a line leads from the pruned model to the tuned one.",
         scatter.against_cost(lines, way, quantity))
        for way in ways
    ]  # fmt: skip
    pictures = [
        {"svg": _picture(svg, f"all-{i}"), "caption": caption} for i, (caption, svg) in enumerate(drawn)
    ]
    return {"lines": lines, "ways": ways, "pictures": pictures, "quantity": quantity}


def section(run: Run, name: str, anchor: str) -> dict[str, Any]:
    """The template's content for one run; `anchor` is its id on the page."""
    results = run.results
    stages = results.stages()
    recipe = results.recipe
    # A single evaluation has no recipe, only its settings.
    model = recipe.get("model") or results.section("evaluate").get("model", "")
    pruning, tuning = results.section("prune"), results.section("tune")
    shots = tuning.get("shots", 0)
    return {
        "id": anchor,
        "name": name,
        "model": "The bundled model" if model == "world" else model,
        "results": results,
        "quantity": formatting.quantity(results.main_rows),
        "windows": formatting.windows(results),
        "stages": stages,
        "headline": formatting.headline(stages, shots if isinstance(shots, int) else 0),
        "pruned": run.plan is not None,
        "prune": pruning,
        "tune": tuning,
        "totals": {w: _totals(results, w) for w in results.wordings},
        "accuracy": {w: _picture(pictures.accuracies(results, w), f"{anchor}-{w}") for w in results.wordings},
        "widths": _picture(pictures.widths(*run.widths), f"{anchor}-widths") if run.widths else None,
        "residual": run.residual,
        "losses": _picture(pictures.losses(run.tunings), f"{anchor}-losses") if run.tunings else None,
        "sizes": _sizes(run),
        "prompts": [t for t in run.tunings if t.base == "pruned"],
        "recipe": to_json(recipe, indent=2, ensure_ascii=False),
        "versions": results.versions,
        "command": f"tailor run {run.directory / 'recipe.json'} --out another/directory",
        "reproducible": (run.directory / "recipe.json").is_file(),
    }


def _totals(results: Results, wording: str) -> dict[str, Any]:
    """The rows below the table of a wording, and the sentences about them."""
    stages = results.stages(wording)
    tasks = next(iter(stages.values())).tasks
    uncalibrated = totals.without_calibration(results, wording)
    notes = [
        totals.calibration_note(uncalibrated),
        totals.left_out(stages),
        totals.majority_note(results, tasks),
    ]
    return {
        "rows": totals.totals(results, wording), "majority": totals.shows_majority(results, tasks),
        "notes": [note for note in notes if note], "uncalibrated": uncalibrated,
    }  # fmt: skip


def _sizes(run: Run) -> list[dict[str, Any]]:
    """Parameters, MACs and bytes of the models without adapters, in the dtype of the pruned one, which
    pruning does not change.
    """
    dtype = getattr(run.pruned_config, "dtype", None)
    return [
        {"stage": stage, "params": row.params, "macs": row.macs, "peak_memory": row.peak_memory,
         "bytes": row.params * dtype.itemsize if dtype else None}
        for stage, row in run.results.stages().items() if stage in ("dense", "pruned", "healed")
    ]  # fmt: skip


def _picture(svg: str, prefix: str) -> Markup:
    """The picture with unique ids, so that a page can contain several."""
    prefix = re.sub(r"[^\w-]", "-", prefix)
    for mark in ('id="', 'xlink:href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{prefix}-")
    return Markup(svg)
