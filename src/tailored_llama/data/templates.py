"""The template language of task files: sandboxed Jinja2, in which an unknown name is an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from itertools import product
from typing import Any, TypeVar

from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from tailored_llama.data import limits
from tailored_llama.data.values import as_written, whole_number
from tailored_llama.errors import SHOWN, TaskError, shown

T = TypeVar("T")
Values = Mapping[str, Any]
Compiled = Callable[[Values], Any]

LETTERS = tuple(
    "".join(name) for size in (1, 2, 3) for name in product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=size)
)
"""Names of listed options, A to Z, AA, AB and so on to ZZZ, known to every template as `letters`."""


class RowError(Exception):
    """A template that this row cannot fill. Caught in Task, which knows the file and the row."""


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 in which whatever makes a value spends from the budget of limits.py."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        # What is constant is not computed ahead of time, where there is no budget.
        super().__init__(
            undefined=StrictUndefined, keep_trailing_newline=True, optimized=False, finalize=_printed
        )
        # Jinja's own `int` turns what is no number into 0: a wrong label would become a right one.
        self.filters |= {"regex_replace": limits.regex_replace, "int": whole_number}
        # A prompt is the same each time; and what has no use in one, and an unknown cost.
        for name in ("random", "pprint", "urlize", "xmlattr"):
            del self.filters[name]
        del self.globals["lipsum"]
        self.filters = {name: _limited(name, filter) for name, filter in self.filters.items()}
        self.tests = {name: _limited(name, test) for name, test in dict[str, Any](self.tests).items()}
        self.filters |= {EACH: limits.each, KEPT: limits.kept}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        limits.operated(operator, left, right)
        return limits.kept(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *given: Any, **named: Any) -> Any:  # noqa: N805
        """As Jinja's, whose names these are, so that a template can give any name of its own."""
        limits.called(__obj, given, named)
        return limits.kept(super().call(__context, __obj, *given, **named))

    def _generate(self, source: nodes.Template, *given: Any, **named: Any) -> str:
        _Paid().visit(source).set_environment(self)
        return super()._generate(source, *given, **named)


class _Paid(NodeTransformer):
    """Puts the budget around what no method of the environment sees: loops, `~`, slices and literals."""

    def visit(self, node: nodes.Node, *given: Any, **named: Any) -> Any:
        self.generic_visit(node, *given, **named)
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a loop that calls itself", node.lineno)
            static = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            node.iter = _filter(node.iter, EACH, nodes.Const(static))
        made = isinstance(node, nodes.Concat | nodes.List | nodes.Dict)
        made |= isinstance(node, nodes.Tuple) and node.ctx == "load"
        made |= isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        return _filter(node, KEPT) if made else node


EACH, KEPT = "_each", "_kept"


def _filter(node: Any, name: str, *given: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(given), [], None, None)


@pass_context
def _printed(_context: Context, value: Any) -> Any:
    """What an output writes. Since it takes the context, Jinja2 computes no constant ahead of time."""
    return limits.kept(_present(value))


def _present(value: Any) -> Any:
    """`value`, which a template prints or a list holds, a list or mapping as its JSON; ValueError for null
    and NaN, which are no text.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a value is {'null' if value is None else value}, which is no text")
    return as_written(value) if isinstance(value, list | tuple | dict) else value


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that spends what it makes."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0
    size = limits.FILTERS.get(name)

    @wraps(function)
    def limited(*given: Any, **named: Any) -> Any:
        if name == "join" and isinstance(given[first], Iterator):
            given = (*given[:first], list(given[first]), *given[first + 1 :])
        if size is not None:
            limits.check(size(*given[first:], **named))
        return limits.kept(function(*given, **named))

    return limited


ENVIRONMENT = _Environment()


def names_in(source: str, *, expression: bool) -> set[str]:
    """The variables that `source` reads. Raises TaskError where it is no valid Jinja2."""
    text = f"{{{{ {source} }}}}" if expression else source
    return _valid(source, lambda: _undeclared(ENVIRONMENT.parse(text)))


def is_variable(name: str) -> bool:
    """Whether a template can read a value of this name. Of `self`, `none` and `a.b` it would read another."""
    if name == "self" or not name.isidentifier():
        return False
    try:
        return name in ENVIRONMENT.globals or names_in(name, expression=True) == {name}
    except TaskError:
        return False


def _undeclared(tree: nodes.Template) -> set[str]:
    """As meta.find_undeclared_variables, without its optimiser: that computes constants, and is slow."""
    generator = meta.TrackingCodeGenerator(ENVIRONMENT)
    generator.optimizer = None
    generator.visit(tree)
    return set(generator.undeclared_identifiers)


def compile_text(source: str) -> Compiled:
    """A function from a row's values to the rendered text. Raises TaskError where it is no valid Jinja2."""
    return _guarded(_valid(source, lambda: ENVIRONMENT.from_string(source).render))


def compile_expression(source: str) -> Compiled:
    """A function from a row's values to the expression's own value (a list stays a list)."""
    expression = _valid(source, lambda: ENVIRONMENT.compile_expression(source, undefined_to_none=False))

    def evaluate(values: Values) -> Any:
        value = expression(values)
        if isinstance(value, StrictUndefined):
            str(value)  # raises UndefinedError with the name that is missing
        return value

    return _guarded(evaluate)


def _valid(source: str, read: Callable[[], T]) -> T:
    """What `read` makes of `source`; TaskError for whatever stops it."""
    try:
        return read()
    except Exception as error:  # besides syntax: recursion in the parser, integers of thousands of digits
        problem = f"{error.message}" if isinstance(error, TemplateSyntaxError) else "too deep, or too large"
        raise TaskError(
            f"template {shown(source)} is not valid Jinja2: {problem}; correct the template"
        ) from None


def texts(values: Any) -> list[str]:
    """A list of options, contexts or answers as strings. Raises RowError where it is no list, or null or NaN
    is in it.
    """
    if not isinstance(values, list | tuple):
        raise RowError(f"{shown(values)} is not a list")
    try:
        return [str(_present(value)) for value in values]
    except ValueError as error:
        raise RowError(f"{shown(values)}: {error}") from None


def _guarded(function: Compiled) -> Compiled:
    def guarded(values: Values) -> Any:
        limits.begin()
        try:
            return function(values)
        except RecursionError:
            raise RowError("the template is nested too deeply, or calls itself without an end") from None
        except MemoryError:
            raise RowError("the template makes more than fits into memory") from None
        except Exception as error:  # whatever an expression of a task file can raise
            text = " ".join(str(error).split())
            raise RowError(
                f"{text[:SHOWN]}..." if len(text) > SHOWN else text or type(error).__name__
            ) from None

    return guarded
