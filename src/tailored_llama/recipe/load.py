"""Recipes from YAML, with suggestions for unknown keys.

YAML is read by the 1.2 core schema: `1e-4` is a number, and `yes` a string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tailored_llama.errors import SHOWN, RecipeError, shown
from tailored_llama.names import check_path, suggest
from tailored_llama.recipe.base import Strict
from tailored_llama.recipe.document import read_yaml
from tailored_llama.recipe.schema import Recipe

M = TypeVar("M", bound=BaseModel)
Given: TypeAlias = "Document | Sequence[Given] | Strict | str | Path | float | bool | None"
Document: TypeAlias = Mapping[str, "Given"]
"""A recipe as it is read from YAML or written in Python, before validation."""


def bundled_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("tailored_llama") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or the name of a bundled recipe."""
    try:
        path = Path(check_path(str(name)))
    except ValueError as error:
        raise RecipeError(f"recipe {shown(str(name))}: {error}") from None
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{path}: is a directory; name the recipe file in it")
    bundled = Path(str(resources.files("tailored_llama") / "recipes" / f"{name}.yaml"))
    if bundled.is_file():
        return bundled
    raise RecipeError(
        f"{name}: no such recipe file, and no bundled recipe{suggest(str(name), bundled_recipes())}; "
        f"bundled: {', '.join(bundled_recipes())}"
    )


def override(document: Mapping[str, Any], assignments: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A copy of `document` with dotted keys set: `("prune.ratio", 0.2)`."""
    result: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in document.items()}
    for key, value in assignments:
        parts = key.split(".")
        node = result
        for part in parts[:-1]:
            child = node.get(part)
            node[part] = dict(child) if isinstance(child, Mapping) else {}
            node = node[part]
        node[parts[-1]] = value
    return result


def load_recipe(
    source: str | Path | Document | Recipe, assignments: Sequence[tuple[str, Any]] = ()
) -> Recipe:
    """A recipe from a path, a bundled name, a mapping or a Recipe, with `assignments` on top.

    Raises RecipeError with the file, the dotted key, the problem and the allowed values.
    """
    if isinstance(source, Recipe):
        document, where = source.model_dump(), "recipe"
    elif isinstance(source, Mapping):
        document, where = dict(source), "recipe"
    else:
        path = find_recipe(source)
        document, where = read_yaml(path), str(path)
        if not isinstance(document, Mapping):
            raise RecipeError(f"{where}: a recipe is a mapping of keys (model, tasks, prune, ...)")
    return validate(Recipe, override(document, assignments), where)


def validate(model: type[M], document: Mapping[str, Any], where: str) -> M:
    """`document` as a `model`; RecipeError for its first problem."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_first_problem(model, error)}") from None


def settings_of(model: type[M], settings: M | None, where: str, /, **overrides: object) -> M:
    """`settings`, or the defaults of `model`, with validated `overrides` of single fields; `where` begins
    the error message.
    """
    base = settings if settings is not None else model()
    return validate(model, {**base.model_dump(), **overrides}, where) if overrides else base


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part)[:SHOWN] for part in problem["loc"]) or "recipe"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(model, problem["loc"][:-1])
        return f"unknown key '{key}'{suggest(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"'{key}' is missing; set it in the recipe or by --set {key}=VALUE"
    value = problem["input"]
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(value, Mapping) and not problem["loc"]:
        return message  # concerns several keys, which the message names
    return f"{key}: {message[0].lower()}{message[1:]} (it is {shown(value, 80)})"


def is_section(key: str) -> bool:
    """Whether a recipe's dotted `key` is always a section: `tune` is, `heal` is optional."""
    *above, last = key.split(".")
    try:
        annotation = _model_at(Recipe, above).model_fields[last].annotation
    except (KeyError, ValueError):
        return False
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    return list(_model_at(model, location).model_fields)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        # An optional part has the type `Part | None`.
        (model,) = (
            kind for kind in get_args(annotation) or (annotation,)
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        )  # fmt: skip
    return model
