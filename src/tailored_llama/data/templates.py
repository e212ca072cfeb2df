"""The template language of task files: sandboxed Jinja2, in which an unknown name is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tailored_llama.errors import TaskError

Values = Mapping[str, Any]
Compiled = Callable[[Values], Any]

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""Names of listed options, known to every template as `letters`."""


class RowError(Exception):
    """A template that this row cannot fill. Caught in Task, which knows the file and the row."""


def _regex_replace(text: str, pattern: str, value: str = "") -> str:
    return re.sub(pattern, value, text)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = _regex_replace
    # Jinja's own `int` turns what is no number into 0: a wrong label would become a right one.
    environment.filters["int"] = int
    return environment


ENVIRONMENT = _environment()


def names_in(source: str, *, expression: bool) -> set[str]:
    """The variables that `source` reads. Raises TaskError where it is no valid Jinja2."""
    text = f"{{{{ {source} }}}}" if expression else source
    try:
        return set(meta.find_undeclared_variables(ENVIRONMENT.parse(text)))
    except TemplateSyntaxError as error:
        raise TaskError(f"template {source!r} is not valid Jinja2: {error.message}; mend it") from None


def compile_text(source: str) -> Compiled:
    """A function from a row's values to the rendered text."""
    template = ENVIRONMENT.from_string(source)
    return _guarded(template.render)


def compile_expression(source: str) -> Compiled:
    """A function from a row's values to the expression's own value (a list stays a list)."""
    expression = ENVIRONMENT.compile_expression(source, undefined_to_none=False)

    def evaluate(values: Values) -> Any:
        value = expression(values)
        if isinstance(value, StrictUndefined):
            str(value)  # raises UndefinedError with the name that is missing
        return value

    return _guarded(evaluate)


def texts(values: Any) -> list[str]:
    """A list of options, contexts or answers as strings. Raises RowError where it is no list."""
    if not isinstance(values, list | tuple):
        raise RowError(f"{values!r} is not a list")
    return [str(value) for value in values]


def _guarded(function: Compiled) -> Compiled:
    def guarded(values: Values) -> Any:
        try:
            return function(values)
        except (TemplateError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise RowError(" ".join(str(error).split()) or type(error).__name__) from None

    return guarded
