"""The task file: a strict model of one YAML file, and its conversion to a Task."""

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

    A prompt of a generation task has only a `context`; the task's `references` are learnt and scored.
    """

    context: str | None = None
    """Template of the text before every answer."""
    answers: str | None = None
    """Expression for the list of answers; by default the task's options."""
    contexts: str | None = None
    """Expression for a list of contexts, one per choice."""
    answer: str | None = None
    """Template of the answer that all `contexts` share."""
    delimiter: str = " "
    """Text between context and answer; scored with the answer."""

    @model_validator(mode="after")
    def _one_form(self) -> PromptFile:
        partial = self.contexts is not None
        if partial == (self.context is not None) or partial != (self.answer is not None):
            raise ValueError("a prompt has a context (and answers), or contexts and one answer")
        return self


class TaskFile(_Templates):
    """The keys of a task file. With `extends: NAME`, missing keys are taken from that bundled task."""

    name: Name
    """By default the name of the file. Used in the names of a run's directories, like the names of prompts.
    """
    about: str = ""
    """One line: what the task is, and why it uses this metric."""
    kind: Kind = "choice"
    """choice: select the best of several answers; generation: generate the answer."""
    metric: Metric
    """The main metric. Of a choice acc, or acc_norm (log-likelihood over the answer's length in characters);
    of a generated answer exact_match, f1 (of its words, as in SQuAD), rougeL, or exact (unnormalised)."""
    scored: Literal["validation", "test"]
    """The split that is reported: validation or test."""
    max_length: int = Field(ge=1, le=MOST_TOKENS)
    """Maximum number of tokens of a question with its answer; a longer question is truncated on the left."""
    fields: dict[str, FieldType | None]
    """The fields that every row must have: names, or names with types: text, number, list, ..."""
    let: dict[str, str] = Field({})
    """Values derived from the fields, in order: name -> expression."""
    options: str | None = None
    """Expression for the list of options (of kind choice)."""
    gold: str | None = None
    """Expression for the index of the right option (of kind choice)."""
    references: str | None = None
    """Expression for the list of correct texts; the first one is the training target (of kind generation)."""
    generation: Generation = Generation()
    """`max_new_tokens` and `stop`: where a generated answer ends."""
    identity: tuple[str, ...] | None = Field(None, min_length=1)
    """The fields that distinguish questions across splits; by default those that prompts show."""
    prompts: dict[Name, PromptFile] = Field(min_length=1)
    source: Source | None = None

    @field_validator("fields", mode="before")
    @classmethod
    def _untyped(cls, fields: Any) -> Any:
        if isinstance(fields, list | tuple) and all(isinstance(name, str) for name in fields):
            return dict.fromkeys(fields)
        if not isinstance(fields, dict):
            raise ValueError("name the fields in a list, or with their types: {text: text, choices: list}")
        return fields

    @property
    def types(self) -> dict[str, FieldType]:
        """The types of the fields. A field used directly as a list of options or texts may be a JSON list."""
        lists = {self.options, self.references, *(prompt.contexts for prompt in self.prompts.values())}
        lists |= {prompt.answers for prompt in self.prompts.values()}
        types = {
            name: kind or ("text or list" if name in lists else "text") for name, kind in self.fields.items()
        }
        return {name: kind for name, kind in types.items() if kind != "text"}

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
                raise ValueError(f"'{key}' is not a key of a task of kind {self.kind}; remove it")
        metrics = TEXT_METRICS if generates else CHOICE_METRICS
        if self.metric not in metrics:
            raise ValueError(f"metric: a task of kind {self.kind} needs one of {', '.join(metrics)}")
        if AUTO in self.prompts:
            raise ValueError(
                f"prompts.{AUTO}: --prompt {AUTO} picks one of the wordings; choose another name"
            )
        for name, prompt in self.prompts.items():
            if generates and (prompt.context is None or prompt.answers is not None):
                raise ValueError(f"prompts.{name}: a prompt of a generation task has only a context")
        return self


def task_names() -> list[str]:
    """Names of the bundled tasks: the seven public benchmarks and those of the bundled world."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_task(name: str | Path | Task) -> Task:
    """A bundled task by name, or a task file by path.

    Raises TaskError for an unknown name, key, template or field.
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
        resolved = {key: str(path.parent / place) for key, place in local.items()}
        file = file.model_copy(update={"source": file.source.model_copy(update=resolved)})
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
    fields = prompt.model_dump()
    if fields["answers"] is None:
        fields["answers"] = "references[:1]" if kind == "generation" else "options"
    return Prompt(name=name, **fields)


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
        # A misspelt key is reported as unknown and as missing; report the first.
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
    if not key:  # an error of the whole file
        raise TaskError(f"{where}: {message}")
    raise TaskError(f"{where}: {key}: {message} (it is {shown(problem['input'])})")


def _folder() -> Path:
    return Path(str(resources.files("tailored_llama.data") / "tasks"))
