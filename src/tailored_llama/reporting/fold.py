"""Tables for a terminal of 80 columns: what does not fit beside goes into a further table, never away."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDTH = 80
LONGEST_NAME = 32
"""Of the first column, in characters; longer names go on in the next line."""


def fold(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str] | None],
    *,
    repeated: int = 1,
    caption: str | None = None,
) -> list[Table]:
    """The table as one or more, each at most WIDTH wide, so that no cell is shortened.

    The first `repeated` columns begin every table; the first one is the name of a row. A row None is a rule.
    The caption stands below the last table.
    """
    made: list[Table] = []
    first, rest = list(range(repeated)), list(range(repeated, len(columns)))
    while rest or not made:
        taken = len(rest)
        while taken > 1 and _width(_table("", columns, rows, first + rest[:taken])) > WIDTH:
            taken -= 1
        heading = f"{title} (continued)" if made else title
        made.append(_table(heading, columns, rows, first + rest[:taken]))
        rest = rest[taken:]
    made[-1].caption = caption
    return made


def _width(table: Table) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str] | None], chosen: Sequence[int]
) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD,
        min_width=60, pad_edge=False,  # a narrow table would fold its title
    )  # fmt: skip
    for index in chosen:
        heading = columns[index].replace(", ", ",\n")
        if index:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, max_width=LONGEST_NAME, overflow="fold")
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[index] for index in chosen))
    return table
