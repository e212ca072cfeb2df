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
from tailored_llama.strict_json import Json

T = TypeVar("T")
Values = Mapping[str, Json]
Compiled = Callable[[Values], Any]

LETTERS = tuple(
    "".join(name) for size in (1, 2, 3) for name in product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=size)
)
"""Letters that number options, A to Z, AA, AB and so on to ZZZ; templates read them as `letters`."""


class RowError(Exception):
    """A row cannot fill a template. Task catches this and adds the file and the row."""


class _Environment(ImmutableSandboxedEnvironment):
    """A sandboxed Jinja2 environment that charges every created value to the budget of limits.py."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        # No constant folding: it runs at compile time, outside the budget.
        super().__init__(
            undefined=StrictUndefined, keep_trailing_newline=True, optimized=False, finalize=_printed
        )
        # Jinja's own `int` turns invalid numbers into 0, which would be a valid label.
        self.filters |= {"regex_replace": limits.regex_replace, "int": whole_number}
        # Prompts are deterministic, so no random filters; others are useless here or of unknown cost.
        for name in ("random", "pprint", "urlize", "xmlattr"):
            del self.filters[name]
        del self.globals["lipsum"]
        self.filters = {name: _limited(name, filter) for name, filter in self.filters.items()}
        self.tests = {name: _limited(name, test) for name, test in dict[str, Any](self.tests).items()}
        self.filters |= {EACH: limits.each, CHARGE: limits.charge}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        limits.check_operator(operator, left, right)
        return limits.charge(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *given: Any, **named: Any) -> Any:  # noqa: N805
        """Overrides Jinja's method. The parameter names are Jinja's, so that templates can use any name."""
        limits.check_call(__obj, given, named)
        return limits.charge(super().call(__context, __obj, *given, **named))

    def _generate(self, source: nodes.Template, *given: Any, **named: Any) -> str:
        _Paid().visit(source).set_environment(self)
        return super()._generate(source, *given, **named)


class _Paid(NodeTransformer):
    """Charges the values that no method of the environment sees: loops, `~`, slices and literals."""

    def visit(self, node: nodes.Node, *args: Any, **named: Any) -> Any:
        self.generic_visit(node, *args, **named)
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a loop that calls itself", node.lineno)
            static = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            node.iter = _filter(node.iter, EACH, nodes.Const(static))
        creates = isinstance(node, nodes.Concat | nodes.List | nodes.Dict)
        creates |= isinstance(node, nodes.Tuple) and node.ctx == "load"
        creates |= isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        return _filter(node, CHARGE) if creates else node


EACH, CHARGE = "_each", "_charge"


def _filter(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None)


@pass_context
def _printed(_context: Context, value: Any) -> Any:
    """The text of an output. It takes the context so that Jinja2 does not fold constants."""
    return limits.charge(_present(value))


def _present(value: Any) -> Any:
    """`value` as text for a template: lists and mappings as JSON. ValueError for null and NaN."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a value is {'null' if value is None else value}, which is not text")
    return as_written(value) if isinstance(value, list | tuple | dict) else value


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that charges its result to the budget."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0
    size = limits.FILTERS.get(name)

    @wraps(function)
    def limited(*args: Any, **named: Any) -> Any:
        if name == "join" and isinstance(args[first], Iterator):
            args = (*args[:first], list(args[first]), *args[first + 1 :])
        if size is not None:
            limits.check(size(*args[first:], **named))
        return limits.charge(function(*args, **named))

    return limited


ENVIRONMENT = _Environment()


def names_in(source: str, *, expression: bool) -> set[str]:
    """The variables that `source` reads. Raises TaskError if it is not valid Jinja2."""
    text = f"{{{{ {source} }}}}" if expression else source
    return _valid(source, lambda: _undeclared(ENVIRONMENT.parse(text)))


def is_variable(name: str) -> bool:
    """Whether a template can read a variable of this name; false for `self`, `none` and `a.b`."""
    if name == "self" or not name.isidentifier():
        return False
    try:
        return name in ENVIRONMENT.globals or names_in(name, expression=True) == {name}
    except TaskError:
        return False


def _undeclared(tree: nodes.Template) -> set[str]:
    """Like meta.find_undeclared_variables, but without its slow constant folding."""
    generator = meta.TrackingCodeGenerator(ENVIRONMENT)
    generator.optimizer = None
    generator.visit(tree)
    return set(generator.undeclared_identifiers)


def compile_text(source: str) -> Compiled:
    """A function from a row's values to the rendered text. Raises TaskError if it is not valid Jinja2."""
    return _guarded(_valid(source, lambda: ENVIRONMENT.from_string(source).render))


def compile_expression(source: str) -> Compiled:
    """A function from a row's values to the value of the expression (a list stays a list)."""
    expression = _valid(source, lambda: ENVIRONMENT.compile_expression(source, undefined_to_none=False))

    def evaluate(values: Values) -> Any:
        value = expression(values)
        if isinstance(value, StrictUndefined):
            str(value)  # raises UndefinedError with the name that is missing
        return value

    return _guarded(evaluate)


def _valid(source: str, parse: Callable[[], T]) -> T:
    """The result of `parse`; any error becomes a TaskError that quotes `source`."""
    try:
        return parse()
    except Exception as error:  # syntax errors, recursion in the parser, integers of thousands of digits
        problem = f"{error.message}" if isinstance(error, TemplateSyntaxError) else "too deep, or too large"
        raise TaskError(
            f"template {shown(source)} is not valid Jinja2: {problem}; correct the template"
        ) from None


def texts(values: Any) -> list[str]:
    """A list of options, contexts or answers as strings. Raises RowError if `values` is not a list or
    contains null or NaN.
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
            raise RowError("the template is nested too deeply, or recurses without end") from None
        except MemoryError:
            raise RowError("the template needs more memory than there is") from None
        except Exception as error:  # an expression of a task file can raise anything
            text = " ".join(str(error).split())
            raise RowError(
                f"{text[:SHOWN]}..." if len(text) > SHOWN else text or type(error).__name__
            ) from None

    return guarded
