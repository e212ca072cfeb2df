"""Files of rows: CSV, TSV, JSON and JSON lines (each also compressed, .gz) and Parquet.

What a file says is kept: a cell of CSV is text, whatever it looks like. What is ambiguous or misshapen is
refused with the file, the row (from 1) and the field.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tailored_llama.errors import DataError
from tailored_llama.recipe import Strict
from tailored_llama.recipe.text import check_encoding, read_text
from tailored_llama.strict_json import to_json

Rowlike = dict[str, Any]
SEPARATORS = ",;\t|"
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072
SHOWN = 40  # characters of a cell in a message
FIX = (
    "write encoding: {encoding} under source: in the task file, or save the file as UTF-8 "
    "(iconv -f {encoding} -t UTF-8 FILE)"
)
_limit = threading.Lock()


class Layout(Strict):
    """How the text files of a task's rows are written."""

    encoding: str | None = None
    """Encoding of the text files, where it is not UTF-8: cp1252, latin-1, utf-16, ..."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Between the cells of a CSV or TSV file, where it is not the comma or the tab."""
    quotes: bool = True
    """Whether cells of CSV and TSV may stand in double quotes; false: a quote is a character like others."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        return encoding if encoding is None else check_encoding(encoding)

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, delimiter: str | None) -> str | None:
        if delimiter in ('"', "\n", "\r"):
            raise ValueError("a quote or a line end cannot separate cells")
        return delimiter


class WrittenFloat(float):
    """A number of a JSON text that is rendered as it is written there: `2.50`, not `2.5`."""

    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __repr__(self) -> str:
        return self.written

    __str__ = __repr__


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with the reason, also for a key that stands twice in one
    object and for nesting too deep.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=WrittenFloat)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """(line from 1, value) of each line that is not blank. Raises ValueError with a line that is no JSON."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, parse_json(line)
            except ValueError as error:
                raise ValueError(f"line {number}: not valid JSON ({error})") from None


def read_file(path: Path, layout: Layout) -> list[Rowlike]:
    """The rows of a file, by its suffix. Raises DataError for other suffixes and for what is misshapen."""
    reader = READERS.get(suffix_of(path))
    if reader is None:
        raise DataError(f"{path}: rows are read from {', '.join(READERS)} files (or .gz of a text file)")
    return reader(path, layout)


def suffix_of(path: Path) -> str:
    """The suffix that tells the format: `.csv` of `rows.csv` and of `rows.csv.gz`."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def _read_jsonl(path: Path, layout: Layout) -> list[Rowlike]:
    try:
        return [as_row(value, f"{path}, line {number}") for number, value in json_lines(_text(path, layout))]
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}, {error}; correct it") from None


def _read_json(path: Path, layout: Layout) -> list[Rowlike]:
    """One JSON list of objects, or JSON lines, which often have this suffix."""
    text = _text(path, layout)
    try:
        document = parse_json(text) if text.strip() else []
    except ValueError as error:
        if "Extra data" not in str(error):
            raise DataError(f"{path}: not valid JSON ({error}); correct the file") from None
        return _read_jsonl(path, layout)
    if not isinstance(document, list):
        keys = f" with the keys {', '.join(list(document)[:10])}" if isinstance(document, dict) else ""
        raise DataError(
            f"{path}: it holds no list of rows, but one {type(document).__name__}{keys}; "
            'write [{"field": ...}, ...], or JSON lines'
        )
    return [as_row(value, f"{path}, row {number}") for number, value in enumerate(document, start=1)]


def _texts(value: Any) -> Iterator[str]:
    """Every text within `value`, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(part)


def as_row(value: Any, place: str) -> Rowlike:
    """`value` as the fields of a row. Raises DataError for what is no JSON object or holds no valid text."""
    if not isinstance(value, dict):
        raise DataError(f"{place}: a row is a JSON object of fields; this is none")
    for field, entry in value.items():
        try:
            "".join(_texts([field, entry])).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{place}: field {field!a} holds half of a surrogate pair (\\ud800 to \\udfff), which "
                "is no character; write the character itself"
            ) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the field '{next(key for key in keys if keys.count(key) > 1)}' stands twice")
    return found


def _read_csv(path: Path, layout: Layout) -> list[Rowlike]:
    return _read_cells(path, layout, layout.delimiter or ",")


def _read_tsv(path: Path, layout: Layout) -> list[Rowlike]:
    return _read_cells(path, layout, layout.delimiter or "\t")


def _read_cells(path: Path, layout: Layout, delimiter: str) -> list[Rowlike]:
    """Every row has the header's fields, each a text; an empty cell is None."""
    lines = _lines(path, layout, delimiter)
    if not lines:
        return []
    (number, header), *others = lines
    _check_header(header, f"{path}, line {number}", layout, delimiter)
    for index, (number, cells) in enumerate(others, start=1):
        if len(cells) != len(header):
            raise DataError(_misshapen(cells, header, f"{path}, row {index} (line {number})", delimiter))
    return [{field: cell or None for field, cell in zip(header, cells, strict=True)} for _, cells in others]


def _lines(path: Path, layout: Layout, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line on which it ends, cells) of every row that is not blank, the header's among them."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if layout.quotes else csv.QUOTE_NONE
    text = io.StringIO(_text(path, layout, keep_line_ends=True), newline="")
    reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
    with _limit:  # which is one of the whole process
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


def _check_header(cells: list[str], place: str, layout: Layout, delimiter: str) -> None:
    other = next((mark for mark in SEPARATORS if mark != delimiter and mark in cells[0]), None)
    if len(cells) == 1 and other and layout.delimiter is None:
        raise DataError(
            f"{place}: the header is one column '{_shown(cells[0])}'; if {other!r} separates the cells, "
            f"write delimiter: {to_json(other)} under source: in the task file"
        )
    for column, name in enumerate(cells, start=1):
        if not name.strip():
            raise DataError(
                f"{place}: column {column} of the header has no name; name it, or take the column out "
                "(pandas writes such an index: use index=False)"
            )
        if (first := cells.index(name) + 1) < column:
            raise DataError(
                f"{place}: the header has the field '{name}' twice (columns {first} and {column}); rename one"
            )


def _misshapen(cells: list[str], header: list[str], place: str, delimiter: str) -> str:
    counts = f"{len(cells)} cells for {len(header)} fields ({', '.join(header)})"
    if len(cells) < len(header):
        return f"{place}: {counts}; field '{header[len(cells)]}' is missing: add it"
    return (
        f"{place}: {counts}; after field '{header[-1]}' comes '{_shown(cells[len(header)])}': "
        f"put quotes around a cell that holds {delimiter!r}"
    )


def _read_parquet(path: Path, layout: Layout) -> list[Rowlike]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        # Not read_table, which makes columns of directories called KEY=VALUE.
        table = pyarrow.parquet.ParquetFile(path).read()
        names = table.column_names
        double = next((name for name in names if names.count(name) > 1), None)
        rows: list[Rowlike] = [] if double is not None else table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from None
    if double is not None:
        raise DataError(f"{path}: it has the column '{double}' twice; rename one")
    return rows


def _text(path: Path, layout: Layout, *, keep_line_ends: bool = False) -> str:
    return read_text(path, encoding=layout.encoding, keep_line_ends=keep_line_ends, fix=FIX)


def _shown(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


READERS: dict[str, Callable[[Path, Layout], list[Rowlike]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}
COMPRESSED = tuple(suffix for suffix in READERS if suffix != ".parquet")
