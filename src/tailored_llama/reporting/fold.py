"""Tables for a terminal: columns that do not fit go into another table instead of being cut off."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDTH = 80
"""Default width of a terminal, in characters."""
NAMES = 0.4
"""Maximum share of the width for the first column; longer names are wrapped."""


def fold(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str] | None],
    *,
    repeated: int = 1,
    caption: str | None = None,
    width: int = WIDTH,
    gap: int = 1,
) -> list[Table]:
    """Split a table into one or more tables of at most `width` characters, so that no cell is truncated.

    The first `repeated` columns are repeated in every table; the first one is the name of a row. A row of
    None is a separator. The caption is below the last table. `gap` is the number of spaces on either side of
    a cell.
    """
    tables: list[Table] = []
    first, remaining = list(range(repeated)), list(range(repeated, len(columns)))
    while remaining or not tables:
        count = len(remaining)
        while count > 1 and _width(_table("", columns, rows, first + remaining[:count], width, gap)) > width:
            count -= 1
        heading = f"{title} (continued)" if tables else title
        tables.append(_table(heading, columns, rows, first + remaining[:count], width, gap))
        remaining = remaining[count:]
    tables[-1].caption = caption
    return tables


def _width(table: Table) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str] | None],
    chosen: Sequence[int],
    width: int,
    gap: int,
) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD,
        min_width=min(60, width), pad_edge=False, padding=(0, gap),  # a narrow table would fold its title
    )  # fmt: skip
    for index in chosen:
        heading = columns[index].replace(", ", ",\n")
        if index:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, max_width=int(NAMES * width), overflow="fold")
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[index] for index in chosen))
    return table
