"""Files of rows in every format: what is written reads back equal, and what is misshapen is refused."""

from __future__ import annotations

import csv
import gzip
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailored_llama.data import load_task
from tailored_llama.data.formats import Layout, read_file
from tailored_llama.errors import DataError, TailorError

TASK = """
metric: acc
scored: test
max_length: 64
fields: [mood, text]
options: "['sad', 'happy']"
gold: options.index(mood)
source: {files: .}
prompts: {plain: {context: "{{ text }}"}}
"""
Rows = list[dict[str, str]]


def write_separated(path: Path, rows: Rows, delimiter: str, **options: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["mood", "text"], delimiter=delimiter, **options)
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Rows) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "rows.csv": lambda path, rows: write_separated(path, rows, ","),
    "quoted.csv": lambda path, rows: write_separated(
        path, rows, ",", quoting=csv.QUOTE_ALL, lineterminator="\n"
    ),
    "rows.tsv": lambda path, rows: write_separated(path, rows, "\t"),
    "rows.jsonl": lambda path, rows: path.write_bytes(
        b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\r\n" for row in rows)
    ) and None,
    "ascii.jsonl": lambda path, rows: path.write_bytes(
        b"\xef\xbb\xbf" + "\n".join(map(json.dumps, rows)).encode()
    ) and None,
    "rows.json": lambda path, rows: path.write_bytes(json.dumps(rows, indent=1).encode()) and None,
    "rows.parquet": write_parquet,
}  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
LOOKS = st.sampled_from(
    ["[1, 2.50]", "null", "NaN", "true", " 1 ", "{}", '{"a": null}', "1e5", "'", '"', "\0"]
)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"mood": TEXT | LOOKS, "text": TEXT | LOOKS}), min_size=1))
@example(
    rows=[{"mood": "a\u2028b\x85c\x1cd", "text": '"\r\n", \r; \ufeff'}, {"mood": "a\0", "text": "\ufeff"}]
)
def test_rows_read_back_as_they_were_written(name: str, rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        WRITERS[name](path, rows)
        assert read_file(path, Layout()) == rows


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.endswith("parquet")])
def test_compressed_files_read_the_same(name: str, tmp_path: Path) -> None:
    rows = [{"mood": "sad", "text": "It rains."}]
    WRITERS[name](tmp_path / name, rows)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert read_file(tmp_path / f"{name}.gz", Layout()) == rows
    (tmp_path / f"{name}.gz").write_bytes(b"\x1f\x8bnot")
    with pytest.raises(DataError, match="is not readable text"):
        read_file(tmp_path / f"{name}.gz", Layout())


def test_cells_of_any_length_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    rows = [{"mood": "sad", "text": "rain, " * 100_000}]
    write_separated(tmp_path / "rows.csv", rows, ",")
    limit = csv.field_size_limit()
    assert read_file(tmp_path / "rows.csv", Layout()) == rows
    assert csv.field_size_limit() == limit


def own(directory: Path, text: str, name: str = "train.csv", task: str = TASK) -> Any:
    """The rows of `text`, in a task of its own."""
    (directory / "own.yaml").write_text(task)
    (directory / name).write_bytes(text.encode())
    return load_task(directory / "own.yaml").rows("train", directory)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mood,text\nsad,a\nsad,The rain, alas, ruined it.\n", r"row 2 \(line 3\): 4 cells for 2 fields"),
        ("mood,text\nsad,The rain, alas\n", r"after field 'text' comes 'alas': put quotes around"),
        ("mood,text\nsad,ok\nsad\n", r"train.csv, row 2 \(line 3\): 1 cells .*; field 'text' is missing"),
        ('mood,text\nsad,"a\n\nb"\nsad\n', r"row 2 \(line 5\)"),
        ("mood,text,mood\nsad,a,happy\n", r"line 1: .* has the field 'mood' twice \(columns 1 and 3\)"),
        (",mood,text\n0,sad,a\n", r"line 1: column 1 of the header has no name"),
        ("mood;text\nsad;a\n", r"the header is one column 'mood;text'; if ';' separates .* delimiter: \";\""),
        ("mood\ttext\nsad\ta\n", r"delimiter: \"\\t\" under source"),
        ('mood,text\nsad,"never closed\nsad,b\n', r"train.csv, line 3: a cell's quotes are not closed"),
        ('mood,text\nsad,"closed" and on\n', r"line 2: .*, or text follows them"),
        ("mood,text\nsad,\n", r"row 1: field 'text' of task own is missing \(null, or an empty cell\)"),
        ('mood,text\nsad,a\n"",b\n', r"row 2: field 'mood' of task own is missing"),
        ('mood,text\nsad,a\nsad, "b"\n', "line 3: there is a space before the quotes of '\"b\"'"),
        ('mood,text\nsad, "a, b"\n', "line 2: there is a space before the quotes of '\"a'"),
        ('mood,text\n "sad",b\n', "line 2: there is a space before the quotes"),
        ("mood,text\n\n", "no rows for task own"),
        ("", "no rows for task own"),
    ],
)  # fmt: skip
def test_misshapen_csv_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        own(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "train.csv") in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_ends_and_blank_lines_at_the_end(tmp_path: Path, end: str) -> None:
    rows = own(tmp_path, end.join(["mood,text", "sad,a", "happy,b", "", "", ""]))
    assert rows == [{"mood": "sad", "text": "a"}, {"mood": "happy", "text": "b"}]


@pytest.mark.parametrize("cell", [' "a"', ' "a", "b"', 'He wrote, "a"', ' "a" b'])
def test_a_space_before_quotes_that_are_doubled_is_text(tmp_path: Path, cell: str) -> None:
    doubled = cell.replace('"', '""')
    assert own(tmp_path, f'mood,text\nsad,"{doubled}"\n') == [{"mood": "sad", "text": cell}]


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("train.csv", 'mood;text\nsad;"a; b"\n', '{files: ., delimiter: ";"}'),
        ("train.csv", "mood\ttext\nsad\ta; b\n", '{files: ., delimiter: "\\t"}'),
        ("train.tsv", 'mood\ttext\nsad\t"a; b\nsad\t"x" y\n', "{files: ., quotes: false}"),
    ],
)
def test_other_ways_to_write_cells(tmp_path: Path, name: str, text: str, source: str) -> None:
    rows = own(tmp_path, text, name, TASK.replace("{files: .}", source))
    assert rows[0]["text"] == ('"a; b' if name == "train.tsv" else "a; b")


@pytest.mark.parametrize("source", ['{files: ., delimiter: ";;"}', "{files: ., delimiter: '\"'}",
                                    "{files: ., encoding: idna}", "{files: ., encoding: unicode_escape}",
                                    "{files: ., encoding: utf9}", "{files: ., encoding: base64}",
                                    "{files: ., split: 0.5}", "{file: a.csv, split: 1.5}"])  # fmt: skip
def test_a_source_that_makes_no_sense(tmp_path: Path, source: str) -> None:
    with pytest.raises(TailorError, match=r"own.yaml: source"):
        own(tmp_path, "mood,text\nsad,a\n", task=TASK.replace("{files: .}", source))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("train.jsonl", '{"mood": "sad", "text": "a", "text": "b"}', "line 1: .*'text' is given twice"),
        ("train.jsonl", '{"mood": "sad", "text": NaN}', r"row 1: field 'text' .* is missing \(nan\)"),
        ("train.jsonl", '\n{"mood": "sad", "text": null}', r"row 1: field 'text' .* is missing \(null"),
        ("train.jsonl", '{"mood": "sad", "text": "\\ud83d"}', "line 1: field 'text' contains half of a surr"),
        ("train.jsonl", '{"mood": ' + "[" * 100_000, "line 1: not valid JSON .nested too deeply"),
        ("train.jsonl", '[{"mood": "sad", "text": "a"}]', "line 1: not a JSON object; a row is"),
        ("train.json", '{"rows": [], "about": 1}', "found one dict with the keys rows, about"),
        ("train.json", "[1]", "row 1: not a JSON object; a row is"),
        ("train.json", "[{]", "not valid JSON"),
        ("train.parquet", "mood,text", "not a readable Parquet file"),
        ("train.csv", "PAR1\x15abc", "it is a Parquet file; give it the suffix .parquet"),
        ("train.csv", "PK\x03\x04abc", "an Excel workbook or a ZIP archive; export it as CSV"),
        ("train.xlsx", "x", r"needs its split 'train' as train.jsonl, .json, .csv, .tsv or .parquet"),
    ],
)  # fmt: skip
def test_other_files_that_are_wrong(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        own(tmp_path, text, name)


def test_json_lines_called_json(tmp_path: Path) -> None:
    rows = own(tmp_path, '{"mood": "sad", "text": "a"}\n{"mood": "sad", "text": "b"}\n', "train.json")
    assert [row["text"] for row in rows] == ["a", "b"]


def test_a_split_in_two_files_is_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"mood": "sad", "text": "a"}')
    with pytest.raises(DataError, match=r"the split 'train' as train.jsonl and as train.csv; keep one"):
        own(tmp_path, "mood,text\nsad,a\n")


def test_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "mood=happy"
    place.mkdir()
    (place / "own.yaml").write_text(TASK)
    task, path = load_task(place / "own.yaml"), place / "train.parquet"
    write_parquet(path, [{"mood": "sad", "text": "a"}])
    assert task.rows("train") == [{"mood": "sad", "text": "a"}]  # not the directory's mood
    table = pyarrow.table([["sad"], ["a"], ["b"]], names=["mood", "text", "text"])
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(DataError, match="it has the column 'text' twice"):
        task.rows("train")
    for value, says in ((b"a", "is bytes, not text"), (math.nan, r"is missing \(nan\)")):
        write_parquet(path, [{"mood": "sad", "text": value}])  # type: ignore[dict-item]
        with pytest.raises(DataError, match=f"row 1: field 'text' of task own {says}"):
            task.rows("train")


def test_numbers_of_half_a_word_are_read_as_they_are_written(tmp_path: Path) -> None:
    for kind in (pyarrow.float16(), pyarrow.float32(), pyarrow.float64()):
        cells = pyarrow.array([0.1, 2.5, None], pyarrow.float64()).cast(kind)
        pyarrow.parquet.write_table(pyarrow.table([cells], names=["text"]), tmp_path / "a.parquet")
        assert [row["text"] for row in read_file(tmp_path / "a.parquet", Layout())] == [0.1, 2.5, None]


def test_a_time_that_python_does_not_have(tmp_path: Path) -> None:
    cells = pyarrow.array([2**62], pyarrow.timestamp("ms"))
    pyarrow.parquet.write_table(pyarrow.table([cells], names=["text"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: not a readable Parquet file"):
        read_file(tmp_path / "a.parquet", Layout())
