"""A sweep as a table for the terminal and as Markdown: one line per setting."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from tailored_llama.reporting.fold import WIDTH, fold
from tailored_llama.results import Estimate, Setting, StageName, StageSummary, SweepResults

COLUMNS = (
    "setting", "seeds", "parameters", "dense", "dense, tuned", "pruned", "healed", "tuned", "recovery",
    "recovery above chance", "of dense, tuned", "against the first", "perplexity",
)  # fmt: skip

NARROW = ("setting", "dense", "dense, tuned", "pruned", "healed", "tuned", "recovery")
"""The columns in the terminal; the page has all columns."""


def sweep_tables(document: SweepResults, width: int = WIDTH) -> list[Table]:
    """The settings of a `sweep.json`, one a line; columns that do not fit `width` go into further tables."""
    lines = (dict(zip(COLUMNS, line(entry), strict=True)) for entry in document.settings)
    rows = [[cells[column] for column in NARROW] for cells in lines]
    return fold(ACCURACY, NARROW, rows, caption=failures(document), width=width)


def markdown(document: SweepResults) -> str:
    """The same as a Markdown table."""
    rows = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *map(line, document.settings)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


ACCURACY = "Mean accuracy over tasks and seeds, %; in brackets 95% by bootstrap over seeds and questions."
TITLE = f"{ACCURACY} Perplexity: dense, before tuning to a task, after it."
NOTHING = "\N{EN DASH}"


def line(entry: Setting) -> list[str]:
    """The cells of one setting's line."""
    stages, params = entry.stages, entry.params
    last, versus = entry.last, entry.versus_first
    earlier: tuple[StageName, ...] = ("dense", "dense_tuned", "pruned", "healed")
    return [
        entry.group or "the recipe",
        str(len(entry.seeds)),
        f"{100 * params['pruned'] / params['dense']:.1f}%",
        *(f"{100 * stages[stage].mean.value:.1f}" if stage in stages else NOTHING for stage in earlier),
        spanned(stages["tuned"].mean) if "tuned" in stages else NOTHING,
        *(spanned(last[key]) for key in ("recovery", "recovery_above_chance", "of_dense_tuned")),
        spanned(versus, sign="+") if versus else "",
        perplexities(stages),
    ]


def perplexities(stages: Mapping[StageName, StageSummary]) -> str:
    """Perplexities of the first text: dense, before tuning, tuned."""
    stage_names: tuple[StageName, ...] = ("dense", "healed" if "healed" in stages else "pruned", "tuned")
    values = [next(iter(stages[stage].perplexity.values()), None) for stage in stage_names if stage in stages]
    return ", ".join(f"{value:.1f}" for value in values if value is not None)


def spanned(figure: Estimate | None, sign: str = "") -> str:
    """A share with its interval, in percent."""
    if figure is None:
        return ""
    value, low, high = (f"{100 * figure[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})".replace("-", "\N{MINUS SIGN}")


def failures(document: SweepResults) -> str | None:
    """The failed cells and their errors."""
    if not document.failed:
        return None
    return "Not finished: " + "; ".join(f"{name}: {why}" for name, why in document.failed.items())
