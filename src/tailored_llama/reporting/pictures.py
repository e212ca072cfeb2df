"""The pictures of the report as inline SVG.

Colours are the palette of Okabe and Ito, which is distinguishable for colour-blind readers (with a darker
purple for contrast on white), and every series has its own marker. Colours become CSS variables, so that
pictures follow the page's dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tailored_llama.families import LayerWidths
from tailored_llama.reporting.formatting import LABELS, named, quantity, short
from tailored_llama.reporting.layer_widths import draw_layers, in_words
from tailored_llama.reporting.read import Tuning
from tailored_llama.results import Results, Row, TaskFigures

# Placeholder colours for matplotlib, and the CSS variables that replace them.
INK, MUTED, LINE = "#010203", "#040506", "#070809"
COLOURS = {
    "dense": "#0072b2", "dense_tuned": "#b0568a", "pruned": "#d55e00", "healed": "#e69f00",
    "tuned": "#009e73",
}  # fmt: skip
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line"}
MARKERS = {"dense": "o", "dense_tuned": "D", "pruned": "s", "healed": "P", "tuned": "^"}
STYLE = {
    "text.parse_math": False,  # names may hold $
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "text.color": INK,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": LINE, "axes.labelcolor": INK,
    "axes.titlesize": 10, "axes.titlecolor": INK, "axes.titlelocation": "left", "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": LINE,
    "grid.linewidth": 0.6, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0,
    "ytick.major.size": 0, "legend.frameon": False, "lines.linewidth": 1.6,
}  # fmt: skip
WIDTH = 9.0  # inches; the page scales it


def accuracies(results: Results, wording: str) -> str:
    """One row per task: each model's accuracy with its standard error, and chance as a vertical mark."""
    stages, tasks = results.stages(wording), results.tasks
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.1 + 0.52 * len(tasks)), layout="constrained")
        axes = figure.subplots()
        for i, task in enumerate(tasks):
            chance = results.figures(task)["chance"]
            axes.vlines(100 * chance, i - 0.36, i + 0.36, color=MUTED, linewidth=2.2)
        for place, (stage, row) in enumerate(stages.items()):
            offset = 0.15 * (place - (len(stages) - 1) / 2)
            drawn = [(i, row.tasks[task]) for i, task in enumerate(tasks) if task in row.tasks]
            axes.errorbar(
                [100 * figures.main for _, figures in drawn], [i + offset for i, _ in drawn],
                xerr=[100 * _stderr(figures) for _, figures in drawn], fmt=MARKERS[stage],
                color=COLOURS[stage], markersize=6, elinewidth=1.2, label=LABELS[stage],
            )  # fmt: skip
        labels = [named(task, results.figures(task)) for task in tasks]
        axes.set_yticks(range(len(tasks)), labels, color=INK)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_xlim(*_span(results))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{quantity(stages.values())}, %; bars: one standard error")
        stroke = Line2D([], [], color=MUTED, marker="|", markersize=11, markeredgewidth=2.2, linestyle="")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            [stroke, *handles], ["chance", *labels], loc="outside upper left", ncols=len(stages) + 1
        )
    rows = [f"{short(task)}: {', '.join(_values_text(stages, task))}" for task in tasks]
    noun = quantity(stages.values()).capitalize()
    return as_svg(figure, f"accuracy-{wording}", f"{noun} in percent. " + "; ".join(rows) + ".")


def _span(results: Results) -> tuple[float, float]:
    """Axis limits that cover all wordings, so that pictures can be compared."""
    low = min(
        100 * (figures[key] - _stderr(figures))
        for row in results.main_rows for figures in row.tasks.values() for key in ("main", "chance")
    )  # fmt: skip
    return max(-2.0, 10 * (low // 10) - 2), 102.0


def _values_text(stages: dict[str, Row], task: str) -> list[str]:
    return [
        f"{LABELS[stage]} {100 * row.tasks[task].main:.0f}"
        for stage, row in stages.items() if task in row.tasks
    ]  # fmt: skip


def widths(before: Sequence[LayerWidths], after: Sequence[LayerWidths]) -> str:
    """Attention heads and MLP channels of every layer: originals as pale bars, the remaining ones on top."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        panels = figure.subplots(1, 2)
        draw_layers(panels, before, after, COLOURS["dense"])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return as_svg(figure, "widths", f"Widths per layer, before and after. {in_words(before, after)}.")


def losses(tunings: Sequence[Tuning]) -> str:
    """One panel per task: the mean loss of each epoch, on the pruned and on the dense base."""
    tasks = list(dict.fromkeys(tuning.task for tuning in tunings))
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 1.9 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        handles = {}
        for axes, task in zip(panels, tasks, strict=False):
            for tuning in (t for t in tunings if t.task == task):
                handles[_stage(tuning)] = _curve(axes, tuning)
            axes.set_title(short(task))
            axes.set_ylim(bottom=-0.04 * axes.get_ylim()[1])  # room for a marker at zero
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        figure.supxlabel("epoch", fontsize=10)
        figure.supylabel("loss per token, nats", fontsize=10)
        labels = [LABELS[stage] for stage in handles]
        figure.legend(handles.values(), labels, loc="outside upper left", ncols=2)
    parts = [
        f"{short(t.task)} on the {t.base} model: from {t.epoch_losses()[0]:.2f} to {t.epoch_losses()[-1]:.2f}"
        for t in tunings
    ]
    return as_svg(figure, "losses", "Training loss by epoch. " + "; ".join(parts) + ".")


def _stage(tuning: Tuning) -> str:
    return "tuned" if tuning.base == "pruned" else "dense_tuned"


def _curve(axes: Axes, tuning: Tuning) -> Line2D:
    stage, values = _stage(tuning), tuning.epoch_losses()
    (line,) = axes.plot(
        range(1, len(values) + 1), values, color=COLOURS[stage], marker=MARKERS[stage], markersize=4,
        markevery=max(1, len(values) // 6), linestyle="-" if stage == "tuned" else "--",
    )  # fmt: skip
    return line


def _stderr(figures: TaskFigures) -> float:
    """0 if it is unknown."""
    return figures.stderr or 0.0


def as_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an accessible inline SVG with the page's width and colours."""
    text = io.StringIO()
    # Seeded ids: equal pictures give equal text.
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    for colour, variable in {**VARIABLES, **{c: s.replace("_", "-") for s, c in COLOURS.items()}}.items():
        svg = svg.replace(colour, f"var(--{variable})")
    # The page sets the width; the view box keeps the aspect ratio.
    svg = re.sub(r'(<svg [^>]*?)\b(?:width|height)="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)\b(?:width|height)="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)
