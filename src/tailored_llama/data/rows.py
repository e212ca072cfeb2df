"""Where rows come from: a local directory, the bundled world, or a data set on the hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from tailored_llama.errors import DataError
from tailored_llama.recipe import Strict


class Source(Strict):
    """Where a task's rows are when the user names no directory: one of `files`, `hub`, `world`."""

    files: str | None = None
    """Directory of {train,validation,test}.jsonl, .csv or .parquet; relative to the task file."""

    hub: str | None = None
    """`owner/name` of a data set whose splits are called train, validation and test."""
    config: str | None = None
    """Configuration of the hub data set, where it has several."""
    world: str | None = None
    """Name of a task of the bundled world."""

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if [self.files, self.hub, self.world].count(None) != 2:
            raise ValueError("name one of files, hub and world")
        return self


class Rows(list[dict[str, Any]]):
    """Rows that know where they were read, and their `numbers` there (from 0), for messages."""

    def __init__(
        self, rows: Iterable[dict[str, Any]], where: str, numbers: Sequence[int] | None = None
    ) -> None:
        super().__init__(rows)
        self.where = where
        self.numbers: Sequence[int] = range(len(self)) if numbers is None else numbers


Stored = Literal["train", "validation", "test"]


def read_rows(task: str, source: Source | None, split: Stored, data: Path | str | None = None) -> Rows:
    """All rows of `split`. Raises DataError where there is no such split, no row, or no way to the hub."""
    if data is not None:
        rows = _from_directory(task, Path(data), split)
    elif source is not None and source.files is not None:
        rows = _from_directory(task, Path(source.files), split)
    elif source is None:
        raise DataError(f"task {task} names no source; give a directory of its splits: data: {{{task}: DIR}}")
    elif source.world is not None:
        from tailored_llama import world

        rows = Rows(world.rows(source.world, split), f"world/{source.world}/{split}")
    else:
        rows = _from_hub(task, source, split)
    if not rows:
        raise DataError(
            f"{rows.where}: no rows for task {task}; fill it or name another directory under data:"
        )
    return rows


def _from_hub(task: str, source: Source, split: str) -> Rows:
    import datasets

    place = "/".join(part for part in (source.hub, source.config) if part)
    try:
        loaded = datasets.load_dataset(source.hub, source.config, split=split)
        return Rows((dict(row) for row in loaded), f"{place}/{split}")
    except Exception as error:  # the hub fails in many ways; to the user they are one
        reason = (str(error).strip().splitlines() or [""])[0]
        raise DataError(
            f"task {task}: cannot load {place} ({split}) from the hub: "
            f"{type(error).__name__}: {reason[:160]}; "
            f"give a local directory with {split}.jsonl instead: data: {{{task}: DIR}}"
        ) from None


def _from_directory(task: str, directory: Path, split: str) -> Rows:
    if not directory.is_dir():
        raise DataError(
            f"data of task {task}: {directory} is no directory; name one with {split}.jsonl, .csv or .parquet"
        )
    for suffix, read in READERS.items():
        path = directory / f"{split}{suffix}"
        if path.is_file():
            return Rows(read(path), str(path))
    there = ", ".join(sorted(entry.name for entry in directory.iterdir())) or "nothing"
    raise DataError(
        f"task {task} needs its split '{split}' as {split}.jsonl, .csv or .parquet in {directory}; "
        f"there is: {there}"
    )


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not valid JSON ({error}); mend the line") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: a row is a JSON object of fields; this is none")
            rows.append(row)
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [{key: _cell(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def _cell(value: Any) -> Any:
    """Lists and mappings, which CSV has not, are written as JSON in the cell."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
    return rows


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
