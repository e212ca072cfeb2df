"""A task renders rows as examples. An example is one question in the wording of one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tailored_llama.data.example import Example
from tailored_llama.data.identity import Identity, Question, divide, identity_of
from tailored_llama.data.prompt import WRITTEN, Generation, Prompt
from tailored_llama.data.rows import NoSplitError, Rows, Source, Stored, read_rows
from tailored_llama.data.templates import (
    LETTERS,
    Compiled,
    RowError,
    compile_expression,
    is_variable,
    names_in,
    texts,
)
from tailored_llama.data.values import FieldType, Options, gold_index, json_cells, read_fields
from tailored_llama.errors import DataError, TaskError, shown
from tailored_llama.recipe import suggest
from tailored_llama.strict_json import Json

Row = dict[str, Json]
Split = Stored | Literal["scored"]
Kind = Literal["choice", "generation"]
Metric = Literal["acc", "acc_norm", "exact_match", "f1", "rougeL", "exact"]
CHOICE_METRICS: tuple[Metric, ...] = ("acc", "acc_norm")
TEXT_METRICS: tuple[Metric, ...] = ("exact_match", "f1", "rougeL", "exact")
KEPT = 20_000
"""Number of rows of a task whose evaluated fields are cached."""


@dataclass(frozen=True, eq=False)
class Task:
    """A task as its file defines it; see `TaskFile` for the meaning of each key.

    A task of kind `choice` has `options` and `gold`, one of kind `generation` has `references`.
    """

    name: str
    about: str
    metric: Metric
    scored: Stored
    max_length: int
    fields: tuple[str, ...]
    let: Mapping[str, str]
    prompts: Mapping[str, Prompt]
    source: Source | None
    kind: Kind = "choice"
    options: str | None = None
    gold: str | None = None
    references: str | None = None
    generation: Generation = WRITTEN
    types: Mapping[str, FieldType] = field(default_factory=dict)
    identity: tuple[str, ...] | None = None
    synthetic: bool = field(default=False, repr=False)  # no part of what a score depends on

    @property
    def world(self) -> bool:
        """Whether its rows are those of the bundled world."""
        return self.source is not None and self.source.world is not None

    @property
    def files(self) -> str | None:
        """The directory or file of the task's rows, if the task file names one."""
        return (self.source.files or self.source.file) if self.source is not None else None

    def rows(self, split: Split, data: Path | str | None = None) -> Rows:
        """All rows of a split, validated. They are read from `data` if given, else from the task's source.

        Raises NoSplitError if there is no such split, DataError with the place, row and field if a field,
        option or label is missing.
        """
        name = self.scored if split == "scored" else split
        rows = read_rows(self.name, self.source, name, data)
        for index, row in enumerate(rows):
            self._values(row, f"{rows.where}, row {index + 1}")
        return rows if rows.divided else self._part(rows, name)

    def _part(self, rows: Rows, split: Stored) -> Rows:
        """The rows of `split`, of a file that holds all rows; no question is in two splits.

        Raises NoSplitError for a third split, and DataError if all rows have the same question.
        """
        assert self.source is not None
        if split not in ("train", self.scored):
            raise NoSplitError(
                f"{rows.where}: task {self.name} divides it into train and {self.scored}; there is no {split}"
            )
        parts = divide([self.question(row) for row in rows], self.source.split, self.source.seed)
        if not all(parts):
            raise DataError(
                f"{rows.where}: all {len(rows)} rows have the same question and cannot be divided; add "
                "rows, or name the fields that distinguish questions: identity: [FIELD, ...]"
            )
        part = parts[0] if split == "train" else parts[1]
        return Rows((rows[index] for index in part), rows.where, part)

    def examples(self, prompt: str, rows: Sequence[Row]) -> list[Example]:
        """All rows rendered with `prompt`, in order. Messages use the file and row numbers of `Rows`."""
        where, numbers = getattr(rows, "where", self.name), getattr(rows, "numbers", range(len(rows)))
        return [self.render(prompt, row, index, where) for index, row in zip(numbers, rows, strict=True)]

    def render(self, prompt: str, row: Row, index: int = 0, where: str | None = None) -> Example:
        """One row rendered with `prompt`; messages name the file `where` and count rows from 1.

        Raises TaskError for an unknown prompt, DataError for a row that cannot fill it, an empty choice, or
        more or fewer answers than options.
        """
        wording = self.prompt(prompt)
        place = f"{where or self.name}, row {index + 1}"
        values, gold = self._values(row, place)
        try:
            contexts, answers = wording.fill(values)
        except RowError as error:
            raise DataError(
                f"{place}: prompt '{prompt}' of task {self.name}: {error}; correct the row"
            ) from None
        about = f"{place}: prompt '{prompt}' of task {self.name}"
        if self.kind == "choice" and len(answers) != len(values["options"]):
            noun = "contexts" if wording.partial else "answers"
            raise DataError(
                f"{about} gives {len(answers)} {noun} for {len(values['options'])} options; it must "
                "give one per option"
            )
        self._check_filled(answers, about)
        return Example(
            contexts=tuple(contexts),
            answers=tuple(wording.delimiter + answer for answer in answers),
            gold=gold,
            row=index,
            delimiter=wording.delimiter,
            references=tuple(values.get("references", ())),
            place=place,
        )

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name. Raises TaskError with the available names."""
        if name not in self.prompts:
            raise TaskError(
                f"task {self.name} has no prompt '{name}'{suggest(name, self.prompts)}; "
                f"it has: {', '.join(self.prompts)}"
            )
        return self.prompts[name]

    @property
    def stock(self) -> str:
        """The default prompt: lm_eval's (`harness`) if the task has it, else the first."""
        return "harness" if "harness" in self.prompts else next(iter(self.prompts))

    def label(self, row: Row) -> int:
        """The gold index of a validated row; 0 for a generation task."""
        return self._values(row, self.name)[1]

    def options_of(self, row: Row) -> list[str]:
        """The options of a validated row; empty for a generation task."""
        return list(self._values(row, self.name)[0].get("options", ()))

    def question(self, row: Row) -> Question:
        """The normalised question of a row, for comparison across splits."""
        values, _ = self._values(row, self.name)
        return self._identity.question(values, values.get("options") or values.get("references", ()))

    @cached_property
    def _identity(self) -> Identity:
        if self.identity is not None:
            return Identity(self.identity, options=False)
        return identity_of(self.prompts.values(), self.fields, self.let, self.options)

    def check(self) -> None:
        """TaskError for a template that reads an undeclared field."""
        for key, names in (("fields", self.fields), ("let", self.let)):
            for name in names:
                if not is_variable(name):
                    raise TaskError(
                        f"task {self.name}: {key}: {shown(name)} cannot be a variable of a template; use "
                        "letters, digits and _, here and in the file of rows"
                    )
        known = [*self.fields, "letters"]
        for name, source in self._sources.items():
            self._check_names(name, names_in(source, expression=True), known)
            if name != "gold":
                known.append(name)
        self._check_names("identity", set(self.identity or ()), [*self.fields, *self.let])
        for prompt in self.prompts.values():
            for source, expression in prompt.sources():
                self._check_names(f"prompt '{prompt.name}'", names_in(source, expression=expression), known)

    def _check_names(self, user: str, names: set[str], known: Sequence[str]) -> None:
        for name in sorted(names - set(known)):
            raise TaskError(
                f"task {self.name}: {user} reads an unknown field '{name}'{suggest(name, known)}; "
                f"known: {', '.join(known)}"
            )

    @property
    def _sources(self) -> dict[str, str]:
        """The expressions of a row in evaluation order; each may read those before it."""
        fixed = {"options": self.options, "gold": self.gold, "references": self.references}
        return {**self.let, **{name: source for name, source in fixed.items() if source is not None}}

    @cached_property
    def _compiled(self) -> dict[str, Compiled]:
        return {name: compile_expression(source) for name, source in self._sources.items()}

    def _values(self, row: Row, place: str) -> tuple[dict[str, Any], int]:
        """The values that templates may read for this row, and its gold index; messages begin with
        `place`.
        """
        try:
            values = {"letters": LETTERS, **read_fields(row, self.fields, self.types, self.name)}
        except ValueError as error:
            raise DataError(f"{place}: {error}") from None
        # Several stages draw or score the same row, and templates are slow, so evaluated rows are cached.
        key = repr([values[field] for field in self.fields])
        if key not in self._read:
            if len(self._read) >= KEPT:
                self._read.clear()
            self._read[key] = self._evaluated(values, place)
        return self._read[key]

    @cached_property
    def _read(self) -> dict[str, tuple[dict[str, Any], int]]:
        """Cache of `_values`; the key is the row's fields."""
        return {}

    def _evaluated(self, values: dict[str, Any], place: str) -> tuple[dict[str, Any], int]:
        """`values` extended by the evaluated expressions, and the gold index."""
        gold: Any = None
        for name, function in self._compiled.items():
            try:
                value = function(values)
                if name == "gold":  # which no template reads; a field may have this name
                    gold = value
                    continue
                values[name] = Options(texts(value)) if name in ("options", "references") else value
            except RowError as error:
                hint = json_cells(values, self.fields, self.types) or "correct the row"
                raise DataError(f"{place}: '{name}' of task {self.name}: {error}; {hint}") from None
        if self.kind == "generation":
            if not values["references"]:
                raise DataError(f"{place}: 'references' of task {self.name} is an empty list; give an answer")
            self._check_filled(values["references"], f"{place}: task {self.name}", "answer")
            return values, 0
        options = values["options"]
        self._check_filled(options, f"{place}: task {self.name}")
        try:
            return values, gold_index(gold, len(options))
        except ValueError as error:
            raise DataError(f"{place}: the label of task {self.name} gives {gold!r}, {error}") from None

    @staticmethod
    def _check_filled(choices: Sequence[str], place: str, noun: str = "choice") -> None:
        for index, choice in enumerate(choices):
            if not choice.strip():
                raise DataError(f"{place}: {noun} {index} is empty; fill it or remove the row")
