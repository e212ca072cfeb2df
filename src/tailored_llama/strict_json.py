"""JSON as its standard has it: the one place of this package that writes any.

Python's own writer puts `NaN` and `Infinity` into a file, which other readers of JSON refuse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tailored_llama.errors import OutputError


def to_json(
    content: Any,
    *,
    indent: int | None = None,
    ensure_ascii: bool = True,
    sort_keys: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """`content` as JSON; arguments as of `json.dumps`.

    Raises OutputError that names the entry where `content` holds NaN or an infinity.
    """
    try:
        return json.dumps(
            content, indent=indent, ensure_ascii=ensure_ascii, sort_keys=sort_keys, default=default,
            allow_nan=False,
        )  # fmt: skip
    except ValueError:
        found = next(_not_finite(content, ""), None)
        if found is None:  # an error of `default`
            raise
        place, value = found
    raise OutputError(
        f"{place or 'the result'} is {value}, a number that JSON cannot hold; nothing was written; "
        "check the model and the settings that gave it"
    )


def _not_finite(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """(place, value) of every float in `value` that is not finite; places as `rows.0.mean`."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    entries: Any = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    for key, entry in entries:
        yield from _not_finite(entry, f"{place}.{key}" if place else str(key))
