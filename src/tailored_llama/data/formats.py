"""Files of rows: CSV, TSV, JSON and JSON lines (each also compressed, .gz) and Parquet.

Values are not converted: a CSV cell is always text. Ambiguous or malformed rows raise an error that names the
file, the row (from 1) and the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tailored_llama.data.cells import rows_of_cells
from tailored_llama.errors import DataError
from tailored_llama.recipe import Strict
from tailored_llama.recipe.text import check_encoding, read_text

Rowlike = dict[str, Any]
FIX = (
    "write encoding: {encoding} under source: in the task file, or save the file as UTF-8 "
    "(iconv -f {encoding} -t UTF-8 FILE)"
)


class Layout(Strict):
    """How the text files of a task's rows are written."""

    encoding: str | None = None
    """Encoding of the text files, if it is not UTF-8: cp1252, latin-1, utf-16, ..."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Separator of the cells of a CSV or TSV file, if it is not the comma or the tab."""
    quotes: bool = True
    """Whether CSV and TSV cells may be enclosed in double quotes; false: a quote is an ordinary character."""

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
    """A JSON number that is rendered exactly as in the file: `2.50`, not `2.5`."""

    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __repr__(self) -> str:
        return self.written

    __str__ = __repr__


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with the reason, also for duplicate keys in one object and
    for nesting that is too deep.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=WrittenFloat)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of each line that is not blank. Raises ValueError for a line that is not
    valid JSON.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, parse_json(line)
            except ValueError as error:
                raise ValueError(f"line {number}: not valid JSON ({error})") from None


def read_file(path: Path, layout: Layout) -> list[Rowlike]:
    """The rows of a file; the suffix gives the format. Raises DataError for other suffixes and malformed
    rows.
    """
    reader = READERS.get(suffix_of(path))
    if reader is None:
        raise DataError(f"{path}: rows are read from {', '.join(READERS)} files (or .gz of a text file)")
    return reader(path, layout)


def suffix_of(path: Path) -> str:
    """The suffix that gives the format: `.csv` of `rows.csv` and of `rows.csv.gz`."""
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
            f"{path}: expected a list of rows, found one {type(document).__name__}{keys}; "
            'write [{"field": ...}, ...], or JSON lines'
        )
    return [as_row(value, f"{path}, row {number}") for number, value in enumerate(document, start=1)]


def _texts(value: Any) -> Iterator[str]:
    """All strings nested in `value`, including keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(part)


def as_row(value: Any, place: str) -> Rowlike:
    """`value` as the fields of a row. Raises DataError if it is not a JSON object or contains
    invalid text.
    """
    if not isinstance(value, dict):
        raise DataError(f"{place}: not a JSON object; a row is a JSON object of fields")
    for field, entry in value.items():
        try:
            "".join(_texts([field, entry])).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{place}: field {field!a} contains half of a surrogate pair (\\ud800 to \\udfff), which "
                "is not a character; write the character itself"
            ) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the field '{next(key for key in keys if keys.count(key) > 1)}' is given twice")
    return value


def _read_csv(path: Path, layout: Layout, usual: str = ",") -> list[Rowlike]:
    text = _text(path, layout, keep_line_ends=True)
    return list(rows_of_cells(path, text, layout.delimiter, usual=usual, quotes=layout.quotes))


def _read_tsv(path: Path, layout: Layout) -> list[Rowlike]:
    return _read_csv(path, layout, usual="\t")


def _read_parquet(path: Path, layout: Layout) -> list[Rowlike]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        # read_table would add columns for directories called KEY=VALUE.
        table = pyarrow.parquet.ParquetFile(path).read()
        names = table.column_names
        duplicate = next((name for name in names if names.count(name) > 1), None)
        rows: list[Rowlike] = [] if duplicate is not None else _shortest(table).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from None
    if duplicate is not None:
        raise DataError(f"{path}: it has the column '{duplicate}' twice; rename one")
    return rows


def _shortest(table: Any) -> Any:
    """`table` with single and half precision numbers in short form: 0.1, not 0.10000000149011612."""
    import pyarrow

    for place, field in enumerate(table.schema):
        if pyarrow.types.is_floating(field.type) and field.type.bit_width < 64:
            single = field.type.to_pandas_dtype()  # numpy prints the shortest unique representation
            cells = table.column(place).to_pylist()
            numbers = [None if cell is None else float(str(single(cell))) for cell in cells]
            table = table.set_column(place, field.name, pyarrow.array(numbers, pyarrow.float64()))
    return table


def _text(path: Path, layout: Layout, *, keep_line_ends: bool = False) -> str:
    return read_text(path, encoding=layout.encoding, keep_line_ends=keep_line_ends, fix=FIX)


READERS: dict[str, Callable[[Path, Layout], list[Rowlike]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}
COMPRESSED = tuple(suffix for suffix in READERS if suffix != ".parquet")
