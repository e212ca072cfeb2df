"""The pictures over several runs: accuracy against the remaining parameters, and against time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tailored_llama.reporting.formatting import LABELS
from tailored_llama.reporting.overview import Line, Point, Way, way_label
from tailored_llama.reporting.pictures import COLOURS, MARKERS, MUTED, STYLE, WIDTH, as_svg

NAMED = 8  # more names would overlap
MIB = 2**20


def against_ratio(lines: Sequence[Line], quantity: str) -> str:
    """Each run's models by the share of remaining parameters."""
    points = [point for line in lines for point in line.points() if point.left is not None]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        _draw(axes, points, lambda point: 100 * (point.left or 0))
        axes.set_xlabel("parameters left, %")
        axes.set_ylabel(f"mean {quantity}, %")
        _legend(figure, axes)
    labels = [
        f"{p.run}, {LABELS[p.stage]}: {100 * (p.row.mean or 0):.0f} with {100 * (p.left or 0):.0f}% left"
        for p in points
    ]
    return as_svg(
        figure, "ratio", f"Mean {quantity} in percent by parameters left. " + "; ".join(labels) + "."
    )


def against_cost(lines: Sequence[Line], way: Way, quantity: str) -> str:
    """Two panels: by milliseconds per decoded token, and by the peak memory of the decoding process."""
    points = [point for line in lines for point in line.points() if way in point.speeds]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        time, memory = figure.subplots(1, 2, sharey=True)
        _draw(time, points, lambda point: latency(point, way))
        _draw(memory, points, lambda point: point.speeds[way]["peak_memory"] / MIB)
        time.set_xlabel("ms a token, decoding")
        memory.set_xlabel("peak memory, MiB")
        time.set_ylabel(f"mean {quantity}, %")
        _legend(figure, time)
    labels = [
        f"{p.run}, {LABELS[p.stage]}: {100 * (p.row.mean or 0):.0f} at {latency(p, way):.2f} ms a token and "
        f"{p.speeds[way]['peak_memory'] / MIB:.0f} MiB"
        for p in points
    ]
    name = f"cost-{'-'.join(map(str, way))}"
    return as_svg(
        figure,
        name,
        f"Mean {quantity} by latency and by memory, {way_label(way)}. " + "; ".join(labels) + ".",
    )


def latency(point: Point, way: Way) -> float:
    """Milliseconds between two tokens of a row."""
    return float(1000 * way[2] / point.speeds[way]["decode_tokens_per_second"])


def _draw(axes: Axes, points: Sequence[Point], across: Callable[[Point], float]) -> None:
    """One marker per model, from pale to full along the stages of a run; tuned models have the run's name."""
    for stage in COLOURS:
        stage_points = [point for point in points if point.stage == stage]
        axes.plot(
            [across(point) for point in stage_points],
            [100 * (point.row.mean or 0) for point in stage_points],
            linestyle="", marker=MARKERS[stage], color=COLOURS[stage], markersize=7,
            label=LABELS[stage] if stage_points else None,
        )  # fmt: skip
    for point in points:
        tuned = [p for p in points if p.run == point.run and p.stage == "tuned"]
        if point.stage == "pruned" and tuned:
            axes.plot(
                [across(point), across(tuned[0])],
                [100 * (point.row.mean or 0), 100 * (tuned[0].row.mean or 0)],
                color=MUTED, linewidth=0.8, zorder=1,
            )  # fmt: skip
    tuned = [point for point in points if point.stage == "tuned"]
    if len(tuned) <= NAMED:
        for point in tuned:
            axes.annotate(
                point.run, (across(point), 100 * (point.row.mean or 0)), xytext=(6, 5),
                textcoords="offset points", fontsize=8, color=MUTED,
            )  # fmt: skip
    axes.margins(x=0.12, y=0.12)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=max(1, len(labels)))
