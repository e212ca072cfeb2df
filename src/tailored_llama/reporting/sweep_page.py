"""The page of a sweep: its table, and a curve for every numeric key that was swept."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from tailored_llama.reporting.formatting import LABELS
from tailored_llama.reporting.pictures import COLOURS, MARKERS, MUTED, STYLE, WIDTH, as_svg
from tailored_llama.reporting.sweep import COLUMNS, TITLE, failures, line
from tailored_llama.reporting.templating import render
from tailored_llama.results import STAGES, Setting, StageName, SweepResults
from tailored_llama.strict_json import to_json

AXES = {
    "prune.ratio": "share of the parameters removed, %",
    "tune.shots": "shots per task",
}
DASHES = ("-", "--", ":", "-.")
MOST_LINES = 4


def sweep_page(document: SweepResults) -> str:
    """The HTML page over a `sweep.json`."""
    entries = document.settings
    return render(
        "sweep",
        columns=COLUMNS,
        lines=[line(entry) for entry in entries],
        title=TITLE,
        failed=failures(document),
        curves=[
            (key, Markup(curve(lines, key)), len(lines) - MOST_LINES)
            for key in AXES if (lines := lines_of(entries, key))
        ],
        tasks=entries[0].tasks if entries else [],
        per_task=[(entry.group, entry.last.tasks) for entry in entries],
        perplexity=[
            (entry.group, {s: entry.stages[s].perplexity for s in STAGES if s in entry.stages})
            for entry in entries if entry.stages["dense"].perplexity
        ],
        labels=LABELS,
        shown=[s for s in STAGES if any(s in entry.stages for entry in entries)],
        recipe=to_json(document.recipe, indent=2, ensure_ascii=False),
        versions=document.versions,
    )  # fmt: skip


Line = tuple[str, list[Setting]]


def lines_of(entries: Sequence[Setting], key: str) -> list[Line]:
    """Groups of settings that differ only in the numeric `key`, by their other values."""
    groups: dict[str, list[Setting]] = {}
    for entry in entries:
        if key in entry.settings:
            groups.setdefault(_other_values(entry, key), []).append(entry)
    return [(name, group) for name, group in groups.items() if len(group) > 1]


def curve(lines: Sequence[Line], key: str) -> str:
    """Mean accuracy of every stage against `key`, with intervals; of the first MOST_LINES lines."""
    shown = lines[:MOST_LINES]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (name, group) in enumerate(shown):
            ordered = sorted(group, key=lambda entry: place(entry, key))
            drawn: tuple[StageName, ...] = STAGES if number == 0 else ("pruned", "tuned")
            for stage in drawn:
                if not all(stage in entry.stages for entry in ordered):
                    continue
                figures = [entry.stages[stage].mean for entry in ordered]
                values = [100 * figure.value for figure in figures]
                axes.errorbar(
                    [place(entry, key) for entry in ordered], values,
                    yerr=[
                        [value - 100 * f.low for value, f in zip(values, figures, strict=True)],
                        [100 * f.high - value for value, f in zip(values, figures, strict=True)],
                    ],
                    color=COLOURS[stage], marker=MARKERS[stage], markersize=5, elinewidth=1, capsize=2,
                    linestyle=DASHES[number], label=LABELS[stage] + (f" ({name})" if name else ""),
                )  # fmt: skip
        axes.axhline(100 * shown[0][1][0].chance, color=MUTED, linewidth=1, label="chance")
        if key == "tune.shots":
            axes.set_xscale("log")
            ticks = sorted({place(entry, key) for _, group in shown for entry in group})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(AXES[key])
        axes.set_ylabel("mean accuracy, %")
        figure.legend(loc="outside upper left", ncols=3)
    parts = [
        (f"{name}, " if name else "")
        + ", ".join(f"{place(e, key):g}: {100 * e.last.mean.value:.0f}" for e in group)
        for name, group in shown
    ]
    return as_svg(figure, f"curve-{key}", f"Accuracy in percent against {AXES[key]}: {'; '.join(parts)}.")


def _other_values(entry: Setting, key: str) -> str:
    """The label of a setting without its value of `key`: its variant, and the values of the other lists."""
    settings = entry.settings
    variant = [str(settings["variant"])] if "variant" in settings else []
    return ", ".join([*variant, *(f"{n}: {settings[n]}" for n in entry.lists if n != key)])


def place(entry: Setting, key: str) -> float:
    """The position of an entry on the axis of `key`; for a ratio, the share that was actually removed."""
    if key == "prune.ratio":
        return 100 * (1 - entry.params["pruned"] / entry.params["dense"])
    value = entry.settings[key]
    assert isinstance(value, int | float)
    return float(value)
