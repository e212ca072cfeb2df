"""The task file: a strict model of one YAML, and how it becomes a Task."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from tailored_llama.data.limits import LONGEST
from tailored_llama.data.prompt import Generation, Prompt
from tailored_llama.data.rows import Source
from tailored_llama.data.shots import AUTO
from tailored_llama.data.task import CHOICE_METRICS, TEXT_METRICS, Kind, Metric, Task
from tailored_llama.data.values import FieldType
from tailored_llama.errors import RecipeError, TaskError, shown
from tailored_llama.names import check_path
from tailored_llama.recipe import MOST_TOKENS, Name, Strict, read_yaml, suggest

S = TypeVar("S", bound=Strict)


class _Templates(Strict):
    model_config = ConfigDict(str_max_length=LONGEST)


class PromptFile(_Templates):
    """One wording: `context` and `answers`, or, for partial evaluation, `contexts` and `answer`.

    In a generation task a `context` alone: what is learnt and scored are the task's `references`.
    """

    context: str | None = None
    """Template of what comes before every answer."""
    answers: str | None = None
    """Expression for the list of answers; the task's options unless said otherwise."""
    contexts: str | None = None
    """Expression for a list of contexts, one per choice."""
    answer: str | None = None
    """Template of the answer that all `contexts` share."""
    delimiter: str = " "
    """Between context and answer; part of what is scored."""

    @model_validator(mode="after")
    def _one_form(self) -> PromptFile:
        partial = self.contexts is not None
        if partial == (self.context is not None) or partial != (self.answer is not None):
            raise ValueError("a prompt has a context (and answers), or contexts and one answer")
        return self


class TaskFile(_Templates):
    """The keys of a task file. `extends: NAME` takes every key that is not given from that task."""

    name: Name
    """By default that of the file. Directories of a run carry it, as they do a prompt's."""
    about: str = ""
    """One line: what is asked, and why this metric."""
    kind: Kind = "choice"
    """choice: the best of several answers is picked; generation: the answer is written."""
    metric: Metric
    """The main metric. Of a choice acc, or acc_norm (log-likelihood over the answer's length in characters);
    of a written answer exact_match, f1 (of its words, as SQuAD), rougeL, or exact (the text itself)."""
    scored: Literal["validation", "test"]
    """The split that is reported: validation or test."""
    max_length: int = Field(ge=1, le=MOST_TOKENS)
    """Tokens of a question and its answer that are read at most; a longer question is cut on the left."""
    fields: dict[str, FieldType | None]
    """What every row must have: names, or names with what they hold: text, number, list, ..."""
    let: dict[str, str] = Field({})
    """Values derived from the fields, in order: name -> expression."""
    options: str | None = None
    """Expression for the list of options (of kind choice)."""
    gold: str | None = None
    """Expression for the index of the right option (of kind choice)."""
    references: str | None = None
    """Expression for the list of right texts, the one to learn first (of kind generation)."""
    generation: Generation = Generation()
    """`max_new_tokens` and `stop`: where a written answer ends."""
    identity: tuple[str, ...] | None = Field(None, min_length=1)
    """The fields by which questions are told apart between splits, where it is not those that are shown."""
    prompts: dict[Name, PromptFile] = Field(min_length=1)
    source: Source | None = None

    @field_validator("fields", mode="before")
    @classmethod
    def _of_no_type(cls, fields: Any) -> Any:
        if isinstance(fields, list | tuple) and all(isinstance(name, str) for name in fields):
            return dict.fromkeys(fields)
        if not isinstance(fields, dict):
            raise ValueError("name the fields in a list, or with their types: {text: text, choices: list}")
        return fields

    @property
    def types(self) -> dict[str, FieldType]:
        """What the fields hold. One that is a whole list of options or texts may be a list in JSON."""
        lists = {self.options, self.references, *(prompt.contexts for prompt in self.prompts.values())}
        lists |= {prompt.answers for prompt in self.prompts.values()}
        given = {
            name: kind or ("text or list" if name in lists else "text") for name, kind in self.fields.items()
        }
        return {name: kind for name, kind in given.items() if kind != "text"}

    @model_validator(mode="after")
    def _one_kind(self) -> TaskFile:
        generates = self.kind == "generation"
        needed, foreign = (["references"], ["options", "gold"])[:: 1 if generates else -1]
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(
                    f"'{key}' is missing; a task of kind {self.kind} needs {' and '.join(needed)}"
                )
        for key in foreign:
            if getattr(self, key) is not None:
                raise ValueError(f"'{key}' is no key of a task of kind {self.kind}; take it out")
        metrics = TEXT_METRICS if generates else CHOICE_METRICS
        if self.metric not in metrics:
            raise ValueError(f"metric: a task of kind {self.kind} has one of {', '.join(metrics)}")
        if AUTO in self.prompts:
            raise ValueError(
                f"prompts.{AUTO}: --prompt {AUTO} picks one of the wordings; choose another name"
            )
        for name, prompt in self.prompts.items():
            if generates and (prompt.context is None or prompt.answers is not None):
                raise ValueError(f"prompts.{name}: of a task of kind generation a prompt has only a context")
        return self


def task_names() -> list[str]:
    """Names of the bundled tasks: the seven real ones and the bundled world's."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_task(name: str | Path | Task) -> Task:
    """A bundled task by name, or a task file by path.

    Raises TaskError for a name, key, template or field that is not known.
    """
    if isinstance(name, Task):
        return name
    try:
        path = Path(check_path(str(name)))
    except ValueError as error:
        raise TaskError(f"task {shown(str(name))}: {error}") from None
    if path.suffix not in (".yaml", ".yml"):
        path = _folder() / f"{name}.yaml"
        if not path.is_file() or path.parent != _folder():
            raise TaskError(
                f"no task '{name}'{suggest(str(name), task_names())}; "
                f"name a task file (.yaml) or one of: {', '.join(task_names())}"
            )
    elif not path.is_file():
        raise TaskError(
            f"{path}: no such task file; check the path, or name one of: {', '.join(task_names())}"
        )
    return _load(path)


@cache
def _load(path: Path) -> Task:
    file = _validate(TaskFile, _document(path), str(path))
    if file.source is not None:
        local = {key: place for key in ("files", "file") if (place := getattr(file.source, key)) is not None}
        beside = {key: str(path.parent / place) for key, place in local.items()}
        file = file.model_copy(update={"source": file.source.model_copy(update=beside)})
    task = Task(
        **{key: getattr(file, key) for key in TaskFile.model_fields if key not in ("prompts", "fields")},
        fields=tuple(file.fields),
        types=file.types,
        prompts={name: _prompt(name, prompt, file.kind) for name, prompt in file.prompts.items()},
    )
    try:
        task.check()
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from None
    return task


def _prompt(name: str, prompt: PromptFile, kind: Kind) -> Prompt:
    given = prompt.model_dump()
    if given["answers"] is None:
        given["answers"] = "references[:1]" if kind == "generation" else "options"
    return Prompt(name=name, **given)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = read_yaml(path)
    except RecipeError as error:
        raise TaskError(str(error)) from None
    if not isinstance(document, dict):
        raise TaskError(f"{path}: a task file is a mapping of keys ({', '.join(TaskFile.model_fields)})")
    document.setdefault("name", path.stem)
    base = document.pop("extends", None)
    if base is None:
        return document
    if base not in task_names():
        raise TaskError(f"{path}: extends: no bundled task {shown(base)}{suggest(str(base), task_names())}")
    return {**_document(_folder() / f"{base}.yaml"), **document}


def _validate(model: type[S], document: dict[str, Any], where: str) -> S:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # A misspelt key is both unknown and missing: the first says more.
        problem = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        nested: dict[str, type[Strict]] = {
            "prompts": PromptFile, "source": Source, "generation": Generation,
        }  # fmt: skip
        place = model if len(problem["loc"]) == 1 else nested[str(problem["loc"][0])]
        known = list(place.model_fields)
        near = suggest(str(problem["loc"][-1]), known)
        raise TaskError(f"{where}: unknown key '{key}'{near}; known here: {', '.join(known)}")
    if problem["type"] == "missing":
        raise TaskError(f"{where}: '{key}' is missing; add it to the task file")
    message = problem["msg"].removeprefix("Value error, ")
    if not key:  # of the file as a whole
        raise TaskError(f"{where}: {message}")
    raise TaskError(f"{where}: {key}: {message} (it is {shown(problem['input'])})")


def _folder() -> Path:
    return Path(str(resources.files("tailored_llama.data") / "tasks"))
