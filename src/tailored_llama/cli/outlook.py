"""`tailor run --dry-run` on the terminal: the stages of a run, or those of the cells of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tailored_llama.checkpoint import size_text
from tailored_llama.workflows.outlook import Outlook, Planned, about
from tailored_llama.workflows.sweep.outlook import SweepOutlook

UNKNOWN = "\N{EN DASH}"


def outlook_tables(outlook: Outlook) -> list[Table]:
    """One table for a run; for a sweep one per cell, with the stages that no earlier cell has."""
    if not isinstance(outlook, SweepOutlook):
        return [_table("", outlook.stages)]
    tables = []
    for number, cell in enumerate(outlook.cells, start=1):
        state = " (finished)" if cell.finished else ""
        shared = f", and {cell.shared} of cells above" if cell.shared else ""
        title = (
            f"cell {number} of {len(outlook.cells)}: {cell.name}{state}: {len(cell.stages)} stages{shared}"
        )
        tables.append(_table(title, cell.stages))
    return tables


def _table(title: str, stages: Sequence[Planned]) -> Table:
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "state"):
        table.add_column(column, overflow="fold")
    for column in ("time", "disk"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in stages:
        time = UNKNOWN if stage.seconds is None else about(stage.seconds)
        took = time.replace("about", "took") if stage.exists else time
        table.add_row(stage.name, stage.state, took, size_text(stage.bytes))
    return table
