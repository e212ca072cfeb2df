"""Tables for a terminal: columns that do not fit its width go into a further table, and no figure is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDTH = 80
"""Characters of a terminal, where it is not known."""
NAMES = 0.4
"""The most that the first column takes of the width; longer names go on in the next line."""


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
    """The table as one or more, each at most `width` characters wide, so that no cell is shortened.

    The first `repeated` columns begin every table; the first one is the name of a row. A row None is a rule.
    The caption stands below the last table. `gap`: spaces on either side of a cell.
    """
    made: list[Table] = []
    first, rest = list(range(repeated)), list(range(repeated, len(columns)))
    while rest or not made:
        taken = len(rest)
        while taken > 1 and _width(_table("", columns, rows, first + rest[:taken], width, gap)) > width:
            taken -= 1
        heading = f"{title} (continued)" if made else title
        made.append(_table(heading, columns, rows, first + rest[:taken], width, gap))
        rest = rest[taken:]
    made[-1].caption = caption
    return made


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
