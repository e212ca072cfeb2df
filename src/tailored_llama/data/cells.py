"""Parsing of CSV and TSV. A cell is always text.

Ambiguous or malformed rows raise an error that names the file, the row (from 1), the line and the field.
"""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tailored_llama.errors import DataError
from tailored_llama.strict_json import to_json

Line = tuple[int, list[str]]
"""(number of the last line of a row, its cells)"""
SEPARATORS = ",;\t|"
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072
SHOWN = 40  # characters of a cell in a message
_limit = threading.Lock()


def rows_of_cells(
    path: Path, text: str, delimiter: str | None, *, usual: str, quotes: bool
) -> Iterator[dict[str, str | None]]:
    """The rows of `text`, the content of `path`, with the fields of the header; an empty cell is None.

    Cells are separated by `delimiter`, by default the `usual` one for this format. If `quotes`, they may be
    enclosed in double quotes. Raises DataError.
    """
    between = delimiter or usual
    lines = _parsed(path, text, between, quotes)
    if quotes and re.search(rf'(?:^|[{re.escape(between)}\n\r]) +"', text):
        _check_quotes(path, lines, _parsed(path, text, between, quotes, skipped=True))
    if not lines:
        return
    (number, header), *others = lines
    _check_header(header, f"{path}, line {number}", delimiter, between)
    for index, (number, cells) in enumerate(others, start=1):
        if len(cells) != len(header):
            raise DataError(_cell_count_error(cells, header, f"{path}, row {index} (line {number})", between))
        yield {field: cell or None for field, cell in zip(header, cells, strict=True)}


def _parsed(path: Path, text: str, delimiter: str, quotes: bool, *, skipped: bool = False) -> list[Line]:
    """All rows that are not blank, including the header; if `skipped`, without spaces after a delimiter."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True, skipinitialspace=skipped)
    with _limit:  # the limit is global to the process
        before = csv.field_size_limit(LONGEST_CELL)
        try:
            return [(reader.line_num, cells) for cells in reader if cells]
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: a cell's quotes are not closed, or text follows them "
                f'({error}); double a quote within quotes (""), or write quotes: false under source:'
            ) from None
        finally:
            csv.field_size_limit(before)


def _check_quotes(path: Path, lines: Sequence[Line], skipped: Sequence[Line]) -> None:
    """DataError for a space before quotes, which would make the quotes part of the cell: the `lines` differ
    from those parsed with such spaces `skipped`.
    """
    for (number, cells), (_, other) in zip(lines, skipped, strict=False):
        trimmed = [cell.lstrip(" ") for cell in cells]
        if [cell.lstrip(" ") for cell in other] != trimmed:
            cell = next((cell for cell in trimmed if cell.startswith('"')), trimmed[0])
            raise DataError(
                f"{path}, line {number}: there is a space before the quotes of '{_shown(cell)}', so they "
                "would be part of the text; remove the space, or write quotes: false under source:"
            )


def _check_header(cells: list[str], place: str, given: str | None, delimiter: str) -> None:
    other = next((mark for mark in SEPARATORS if mark != delimiter and mark in cells[0]), None)
    if len(cells) == 1 and other and given is None:
        raise DataError(
            f"{place}: the header is one column '{_shown(cells[0])}'; if {other!r} separates the cells, "
            f"write delimiter: {to_json(other)} under source: in the task file"
        )
    for column, name in enumerate(cells, start=1):
        if not name.strip():
            raise DataError(
                f"{place}: column {column} of the header has no name; name it, or remove the column "
                "(pandas writes such an index: use index=False)"
            )
        if (first := cells.index(name) + 1) < column:
            raise DataError(
                f"{place}: the header has the field '{name}' twice (columns {first} and {column}); rename one"
            )


def _cell_count_error(cells: list[str], header: list[str], place: str, delimiter: str) -> str:
    counts = f"{len(cells)} cells for {len(header)} fields ({', '.join(header)})"
    if len(cells) < len(header):
        return f"{place}: {counts}; field '{header[len(cells)]}' is missing: add it"
    return (
        f"{place}: {counts}; after field '{header[-1]}' comes '{_shown(cells[len(header)])}': "
        f"put quotes around a cell that contains {delimiter!r}"
    )


def _shown(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
