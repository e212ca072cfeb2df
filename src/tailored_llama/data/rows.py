"""Where rows come from: local files, the bundled world, or a data set on the hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from tailored_llama.data.formats import COMPRESSED, READERS, Layout, read_file
from tailored_llama.data.hub import load_dataset
from tailored_llama.errors import DataError
from tailored_llama.strict_json import Json

Stored = Literal["train", "validation", "test"]
SUFFIXES = f"{', '.join(list(READERS)[:-1])} or {list(READERS)[-1]}"
LISTED = 10
"""Number of files that a message lists."""


class Source(Layout):
    """Default location of a task's rows: one of `files`, `file`, `hub`, `world`.

    `encoding`, `delimiter` and `quotes` apply to text files, also to those that the user passes instead.
    """

    files: str | None = None
    """Directory of {train,validation,test}.jsonl, .json, .csv, .tsv or .parquet, relative to the task file.
    """

    file: str | None = None
    """One file with all rows, not divided into splits, relative to the task file."""
    split: float = Field(0.8, gt=0, lt=1)
    """Share of the rows of `file` for training; the rest is the scored split."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the division. It belongs to the task, so every run divides the file the same way."""

    hub: str | None = None
    """`owner/name` of a data set with the splits train, validation and test."""
    config: str | None = None
    """Configuration of the hub data set, if it has several."""
    world: str | None = None
    """Name of a task of the bundled world."""

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if [self.files, self.file, self.hub, self.world].count(None) != 3:
            raise ValueError("name one of files, hub and world, or one file")
        if self.file is None and self.model_fields_set & {"split", "seed"}:
            raise ValueError("split and seed divide one file; name it (file: rows.csv), or remove them")
        return self


class Rows(list[dict[str, Json]]):
    """Rows with their origin, for messages: the file `where` and their `numbers` in it (from 0)."""

    def __init__(
        self,
        rows: Iterable[dict[str, Json]],
        where: str,
        numbers: Sequence[int] | None = None,
        *,
        divided: bool = True,
    ) -> None:
        super().__init__(rows)
        self.where = where
        self.numbers: Sequence[int] = range(len(self)) if numbers is None else numbers
        self.divided = divided
        """Whether these are the rows of one split; false for the rows of a file with all splits."""


class NoSplitError(DataError):
    """A split does not exist, for example the test split of a task that is only used for tuning."""


def read_rows(task: str, source: Source | None, split: Stored, data: Path | str | None = None) -> Rows:
    """All rows of `split`, or of a file with all splits. Raises NoSplitError if the split does not exist,
    DataError if it has no rows, a file cannot be read, or the hub cannot be reached.
    """
    if data is not None:
        rows = _from_place(task, Path(data), split, source)
    elif source is not None and source.file is not None:
        rows = _from_file(task, Path(source.file), source)
    elif source is not None and source.files is not None:
        rows = _from_place(task, Path(source.files), split, source)
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
    place = "/".join(part for part in (source.hub, source.config) if part)
    try:
        loaded = load_dataset(source.hub, source.config, split=split)
        return Rows((dict(row) for row in loaded), f"{place}/{split}")
    except Exception as error:  # the hub fails in many ways; the user needs one message
        reason = (str(error).strip().splitlines() or [""])[0]
        kind = NoSplitError if isinstance(error, ValueError) and "split" in reason.lower() else DataError
        raise kind(
            f"task {task}: cannot load {place} ({split}) from the hub: "
            f"{type(error).__name__}: {reason[:160]}; "
            f"give a local directory with {split}.jsonl instead: data: {{{task}: DIR}}"
        ) from None


def _from_place(task: str, place: Path, split: str, source: Source | None) -> Rows:
    """The rows of a directory of splits, or of one file if the task's source defines how to divide it."""
    layout = source or Layout()
    if place.is_dir():
        path = _split_file(task, place, split)
        return Rows(read_file(path, layout), str(path))
    if source is not None and source.file is not None:
        return _from_file(task, place, layout)
    hint = "; to divide one file, write source: {file: FILE, split: 0.8} in the task file"
    raise DataError(
        f"data of task {task}: {place} is not a directory; name one with {split}{SUFFIXES}"
        f"{hint if place.is_file() else ''}"
    )


def _from_file(task: str, path: Path, layout: Layout) -> Rows:
    if not path.is_file():
        raise DataError(f"data of task {task}: {path} is not a file; name a file of rows, or correct source:")
    return Rows(read_file(path, layout), str(path), divided=False)


def row_files(place: Path) -> list[Path]:
    """The files of rows at `place`: the split files of a directory, or `place` itself if it is a file."""
    if place.is_dir():
        return [path for split in get_args(Stored) for path in _files_of(place, split)]
    return [place] if place.is_file() else []


def _files_of(directory: Path, split: str) -> list[Path]:
    names = [*(f"{split}{suffix}" for suffix in READERS), *(f"{split}{suffix}.gz" for suffix in COMPRESSED)]
    return [directory / name for name in names if (directory / name).is_file()]


def _split_file(task: str, directory: Path, split: str) -> Path:
    files = _files_of(directory, split)
    if len(files) > 1:
        names = " and as ".join(path.name for path in files)
        raise DataError(f"data of task {task}: {directory} has the split '{split}' as {names}; keep one")
    if files:
        return files[0]
    entries = sorted(entry.name for entry in directory.iterdir())
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    raise NoSplitError(
        f"task {task} needs its split '{split}' as {split}{SUFFIXES} in {directory}; "
        f"found: {', '.join(entries[:LISTED]) or 'nothing'}{more}"
    )
