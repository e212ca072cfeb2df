"""Standard JSON; all JSON of this package is written here.

Python's own encoder writes `NaN` and `Infinity`, which other JSON readers reject.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tailored_llama.errors import OutputError

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | bool | None"
"""What JSON can hold, as an argument: tuples stand for lists. What was read is pydantic's JsonValue."""


def to_json(
    content: Any,
    *,
    indent: int | None = None,
    ensure_ascii: bool = True,
    sort_keys: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """`content` as JSON; arguments as in `json.dumps`.

    Raises OutputError, with the path of the entry, if `content` contains NaN or infinity.
    """
    try:
        return json.dumps(
            content, indent=indent, ensure_ascii=ensure_ascii, sort_keys=sort_keys, default=default,
            allow_nan=False,
        )  # fmt: skip
    except ValueError:
        entry = next(_not_finite(content, ""), None)
        if entry is None:  # an error of `default`
            raise
        place, value = entry
    raise OutputError(
        f"{place or 'the result'} is {value}, which JSON cannot represent; nothing was written; "
        "check the model and the settings"
    )


def _not_finite(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """(path, value) of every float in `value` that is not finite; paths as in `rows.0.mean`."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    entries: Any = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    for key, entry in entries:
        yield from _not_finite(entry, f"{place}.{key}" if place else str(key))
