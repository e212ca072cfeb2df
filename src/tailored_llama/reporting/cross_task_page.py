"""The cross-prompt experiment as a table, a heat map and a page."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.table import Table

from tailored_llama.reporting.fold import WIDTH, fold
from tailored_llama.reporting.formatting import SYNTHETIC, bare, named, percent, short
from tailored_llama.reporting.templating import render
from tailored_llama.results import MatrixResults

WIDE = 6
INK, PAPER = "#1f2328", "#ffffff"


def matrix_tables(results: MatrixResults, width: int = WIDTH) -> list[Table]:
    """A table of main metrics in percent: tuned on the row, tested on the column."""
    columns = results.columns
    rows = [
        [
            short(row),
            *(f"{'*' if row == column else ''}{bare(cells[column].main)}" for column in columns),
            bare(results.means[row]),
        ]
        for row, cells in results.cells.items()
    ]
    return fold(
        "Tuned on the row, tested on the column, %",
        ["tuned on", *(_folded(short(column)) for column in (*columns, "mean"))],
        rows, caption=summary(results) or None, width=width, gap=0,
    )  # fmt: skip


def summary(results: MatrixResults) -> str:
    """The result in one sentence: tuned on own prompts, on other tasks', and on general instructions."""
    parts = []
    if results.diagonal is not None:
        parts.append(f"Mean score of a task when tuned on its own prompts (*): {percent(results.diagonal)}")
        if results.beside is not None:
            parts.append(f"on another task's prompts: {percent(results.beside)}")
        parts.append(f"on general instructions: {percent(results.means['general'])}")
        parts.append(f"untuned at {percent(results.means['untuned'])}")
    return ", ".join(parts) + "." if parts else ""


def heat_map(results: MatrixResults, form: str) -> bytes:
    """The heat map as `png` or `svg`: scores in percent, coloured by the gain over the untuned model."""
    columns, rows = results.columns, list(results.cells)
    untuned = results.cells["untuned"]
    gains = [
        [100 * (results.cells[row][column].main - untuned[column].main) for column in columns] for row in rows
    ]
    limit = max(1.0, *(abs(gain) for line in gains for gain in line))
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "matrix",
        "text.color": INK,
        "font.size": 10,
        "text.parse_math": False,
    }
    with mpl.rc_context(style):
        figure = Figure(
            figsize=(2.6 + 0.95 * len(columns), 1.6 + 0.5 * len(rows)), layout="constrained", facecolor=PAPER
        )
        axes = figure.subplots()
        image = axes.imshow(gains, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
        axes.set_xticks(
            range(len(columns)),
            [named(column, untuned[column]) for column in columns],
            rotation=30,
            ha="right",
        )
        axes.set_yticks(range(len(rows)), [short(row) for row in rows])
        axes.set_xlabel("tested on")
        axes.set_ylabel("tuned on")
        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                axes.text(
                    x, y, bare(results.cells[row][column].main), ha="center", va="center",
                    color=_ink(gains[y][x] / limit),
                    weight="bold" if row == column else "normal",
                )  # fmt: skip
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label="points gained over untuned")
        data = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(data, format=form, dpi=150, metadata=metadata)
    return data.getvalue()


def matrix_page(results: MatrixResults) -> str:
    """A self-contained HTML page."""
    svg = heat_map(results, "svg").decode()
    synthetic = any(figures.synthetic for row in results.cells.values() for figures in row.values())
    return render(
        "cross_task", results=results, summary=summary(results), picture=Markup(svg[svg.index("<svg") :]),
        note=SYNTHETIC if synthetic else "",
    )  # fmt: skip


def write_matrix(results: MatrixResults, directory: Path) -> None:
    """Write `matrix.png` and `matrix.html` to `directory`."""
    from tailored_llama.checkpoint import write_bytes, write_text

    write_bytes(directory / "matrix.png", heat_map(results, "png"))
    write_text(directory / "matrix.html", matrix_page(results))


def _ink(shade: float) -> str:
    """The text colour for a cell of this shade, from -1 (orange) to 1 (purple, which is darker)."""
    return PAPER if shade > 0.5 or shade < -0.75 else INK


def _folded(name: str) -> str:
    """A name wrapped at WIDE characters, so that eight columns fit into a terminal."""
    return "\n".join(name[start : start + WIDE] for start in range(0, len(name), WIDE))
