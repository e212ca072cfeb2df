"""Resource limits of templates. Templates come with task files, which may be untrusted.

Each rendering has a budget of characters, list items and thread time. Operations that create values
(operators, filters, calls, loops, outputs) spend from it. Operations that could create a very large value in
one step (`'x' * 10**9`, `center(10**9)`) are checked beforehand. Functions that are not listed here cannot be
called.
"""

from __future__ import annotations

import datetime
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import regex
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import safe_range
from jinja2.utils import Cycler, Joiner, Namespace

LONGEST = 20_000
"""Maximum number of characters of a template."""
MOST, SECONDS = 5_000_000, 1.0
"""Budget of one rendering: characters and items, and seconds of processor time."""
BITS = 4096
"""Maximum size of an integer."""

METHODS = {
    "as_integer_ratio", "bit_length", "capitalize", "casefold", "count", "date", "endswith", "find",
    "get", "index", "is_integer", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isoformat", "isoweekday", "isprintable", "isspace",
    "istitle", "isupper", "items", "keys", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "startswith", "strip", "striptags", "swapcase", "time", "title", "total_seconds", "unescape",
    "upper", "values", "weekday",
}  # fmt: skip
"""Methods whose result is no larger than their input."""
DATES = (datetime.date, datetime.time, datetime.timedelta)
VALUES = (str, bytes, list, tuple, dict, set, frozenset, int, float, *DATES)


class LimitError(Exception):
    """A template that exceeds its budget or calls a function that is not allowed."""


class _Budget(threading.local):
    left, steps = MOST, 0
    until: float | None = None


_budget = _Budget()


def begin() -> None:
    """Start a new budget for the next rendering of this thread."""
    _budget.left, _budget.steps, _budget.until = MOST, 0, None


def spend(amount: int) -> None:
    """Spend `amount` characters or items. Raises LimitError if the budget or the time is exceeded."""
    _budget.left -= amount
    if _budget.left < 0:
        raise LimitError(f"the template makes more than {MOST:,} characters")
    _budget.steps += 1
    if amount < 1000 and _budget.steps % 64:  # the clock takes longer than most steps
        return
    now = time.thread_time()
    if _budget.until is None:
        _budget.until = now + SECONDS
    elif now > _budget.until:
        raise LimitError(f"the template takes more than {SECONDS:g} s")


def check(size: int) -> None:
    """Raises LimitError if a value of `size` would exceed the remaining budget; nothing is spent."""
    if size > _budget.left:
        raise LimitError(f"the template makes more than {MOST:,} characters")


def charge(value: Any) -> Any:
    """Spend the extent of `value` and return it."""
    spend(extent(value))
    return value


def each(values: Iterable[Any], static: int) -> Iterator[Any]:
    """Yield the `values` of a loop and spend for each; the loop body has `static` literal characters."""
    for value in values:
        spend(1 + static)
        yield value


def extent(value: Any) -> int:
    """Number of characters and items in `value`, including nested values; repeated values count
    repeatedly.
    """
    if isinstance(value, str):
        return 1 + len(value)
    total, open_ = 0, [value]
    while open_ and total <= _budget.left:
        part = open_.pop()
        if isinstance(part, str | bytes):
            total += 1 + len(part)
        elif isinstance(part, dict):
            total += 1 + len(part)
            open_ += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            total += 1 + len(part)
            open_ += part
        else:
            total += 1
    return total


def check_operator(operator: str, left: Any, right: Any) -> None:
    """LimitError if `left operator right` would be too large."""
    numbers = isinstance(left, int) and isinstance(right, int)
    if operator == "**" and numbers:
        _check_bits(left.bit_length() * abs(right))
    elif operator == "*" and numbers:
        _check_bits(left.bit_length() + right.bit_length())
    elif operator == "*":
        value, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int):
            check(extent(value) * max(0, times))
    elif operator == "%" and isinstance(left, str | bytes):
        check(_percent(left, right))


def check_call(function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> None:
    """LimitError if a template may not call `function`, or its result would be too large."""
    function = getattr(function, "__wrapped__", function)  # of str.format, which the sandbox wraps
    instance, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    sizes = _METHODS if isinstance(instance, str | bytes) else _DATES
    if isinstance(instance, VALUES) and name in sizes:
        check(sizes[name](instance, *args, **named))
    elif isinstance(function, Macro):
        spend(LONGEST)
    elif not (
        (isinstance(instance, VALUES) and name in METHODS)
        or isinstance(instance, LoopContext | Cycler)
        or isinstance(
            function, Undefined | Joiner
        )  # calling an undefined value raises an error with its name
        or any(function is allowed for allowed in (dict, Cycler, Joiner, Namespace, safe_range))
    ):
        raise LimitError(f"'{name or type(function).__name__}' cannot be called in a template")


def regex_replace(text: str, pattern: str, value: str = "") -> str:
    """`text` with every match of the regular expression `pattern` replaced by `value` (\\1, \\g<name>)."""

    def put(match: Any) -> str:
        piece: str = match.expand(value)
        spend(1 + len(piece))
        return piece

    if len(pattern) > 1000:
        raise LimitError("a regular expression has more than 1000 characters")
    small = "\\" not in value and (len(text) + 1) * (len(value) + 1) <= _budget.left
    try:
        replaced: str = regex.sub(pattern, value if small else put, text, timeout=SECONDS)
    except TimeoutError:
        raise LimitError(f"the regular expression {pattern[:60]!r} takes more than {SECONDS:g} s") from None
    return replaced


def _check_bits(bits: int) -> None:
    if bits > BITS:
        raise LimitError(f"the template makes an integer of more than {BITS} bits")


def _percent(text: str | bytes, *given: Any, **named: Any) -> int:
    """Largest size of a `%` format; its widths have at most three digits."""
    shown = text if isinstance(text, str) else text.decode("latin-1")
    if re.search(r"%(\([^)]*\))?[^a-zA-Z%(]*(\d{4}|\*)", shown):
        raise LimitError("a format has a width of four digits, or takes its width from a value")
    return len(shown) + shown.count("%") * _largest(given, named)


def _braces(text: str, *given: Any, **named: Any) -> int:
    """Largest size of `str.format`; its widths have at most three digits."""
    if re.search(r"\{[^{}]*:[^{}]*\d{4}|\{[^{}]*:[^{}]*\{", text):
        raise LimitError("a format has a width of four digits, or takes its width from a value")
    return len(text) + text.count("{") * _largest(given, named)


def _largest(given: Sequence[Any], named: Mapping[str, Any]) -> int:
    values = [*given, *named.values()]
    plain = all(isinstance(value, str | int | float) for value in values)
    return 1000 + extent(values) * (1 if plain else 10)  # repr escapes a character by up to ten


def _dated(_date: Any, text: str = "") -> int:
    if re.search(r"%[^a-zA-Z%]", text):
        raise LimitError("a date's format has a width")
    return 100 * len(text)


def _replaced(s: Any, old: Any, new: Any, count: int | None = None) -> int:
    text, old, new = str(s), str(old), str(new)
    return len(text) + text.count(old) * max(0, len(new) - len(old))


def _padded(value: Any, width: int = 80, fill: str = " ") -> int:
    return max(extent(value), width)


def _joined(value: Any, d: Any = "", attribute: Any = None) -> int:
    return extent(value) + (len(value) * len(str(d)) if hasattr(value, "__len__") else 0)


def _indented(s: Any, width: Any = 4, first: bool = False, blank: bool = False) -> int:
    return extent(s) + (str(s).count("\n") + 1) * (len(width) if isinstance(width, str) else width)


def _wrapped(s: Any, width: int = 79, long: Any = None, wrapstring: Any = None, hyphens: Any = None) -> int:
    return extent(s) * (1 + len(wrapstring or ""))


def _as_json(value: Any, indent: int | None = None) -> int:
    return extent(value) * (2 + (indent or 0))


def _rounded(value: Any, precision: int = 0, method: str = "common") -> int:
    _check_bits(4 * abs(precision))
    return 1


_METHODS: dict[str, Callable[..., int]] = {
    "format": _braces, "format_map": _braces, "replace": _replaced,
    "join": lambda separator, parts: _joined(parts, separator),
    **dict.fromkeys(("ljust", "rjust", "center", "zfill"), _padded),
}  # fmt: skip
"""String methods whose result can be larger than their input, with an upper bound of its size."""
_DATES: dict[str, Callable[..., int]] = {"strftime": _dated, "replace": lambda *_, **__: 1}
FILTERS: dict[str, Callable[..., int]] = {
    "format": _percent, "replace": _replaced, "center": _padded, "indent": _indented, "wordwrap": _wrapped,
    "join": _joined, "tojson": _as_json, "round": _rounded,
    "batch": lambda value, linecount, fill_with=None: linecount,
    "slice": lambda value, slices, fill_with=None: slices,
    "striptags": lambda value: len(str(value)) ** 2 // LONGEST,  # its algorithm is quadratic
}  # fmt: skip
"""The same for filters; parameters have Jinja2's names."""
