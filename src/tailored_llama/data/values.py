"""The values of a row's fields: their types, and how labels are matched to options."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from tailored_llama.data.formats import WrittenFloat, parse_json
from tailored_llama.errors import OutputError
from tailored_llama.recipe import suggest
from tailored_llama.strict_json import to_json

FieldType = Literal["text", "text or empty", "text or list", "number", "boolean", "list", "mapping"]
"""The type of a field. `text` is kept as it is in the file. Text is parsed only if the task file declares one
of the last four types, or `text or list` and the text is a JSON list.
"""
WHOLE = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")
NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def read_fields(
    row: Mapping[str, Any], fields: Sequence[str], types: Mapping[str, FieldType], task: str
) -> dict[str, Any]:
    """The values of the `fields` of a row. Raises ValueError with the name of a missing or invalid field."""
    values = {}
    for name in fields:
        if name not in row:
            keys = [key for key in row if isinstance(key, str)]
            raise ValueError(
                f"field '{name}' of task {task} is missing{suggest(name, keys)}; "
                f"the row has: {', '.join(keys)}"
            )
        try:
            values[name] = read_value(row[name], types.get(name, "text"))
        except ValueError as error:
            raise ValueError(f"field '{name}' of task {task} {error}") from None
    return values


def json_cells(values: Mapping[str, Any], fields: Sequence[str], types: Mapping[str, FieldType]) -> str:
    """A hint for a failed expression if a text field contains a JSON list or mapping, else ""."""
    for name in fields:
        value = values[name]
        if types.get(name, "text") == "text" and isinstance(value, str) and value[:1] in ("[", "{"):
            with contextlib.suppress(ValueError):
                kind = "list" if isinstance(parse_json(value), list) else "mapping"
                return f"'{name}' is text; if it is a {kind} in JSON, write fields: {{{name}: {kind}, ...}}"
    return ""


def read_value(value: Any, kind: FieldType) -> Any:
    """`value` converted to this field type. Raises ValueError with the reason."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        if value is None and kind == "text or empty":
            return ""
        shown = "null" if value is None else str(float(value))
        raise ValueError(f"is missing ({'null, or an empty cell' if value is None else shown})")
    if isinstance(value, bytes):
        raise ValueError("is bytes, not text; store the column as strings")
    if kind == "text or list" and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return _nested(value, "list")
    reader = READERS.get(kind)
    return value if reader is None else reader(value)


def whole_number(value: Any) -> int:
    """The filter `int`: accepts integers in any notation (1, 1.0, "1", " 1 ", true). Raises ValueError for
    everything else; Python's and Jinja's versions would truncate 1.7 to 1, or turn "one" into 0.
    """
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := WHOLE.fullmatch(value)):
        return int(match[1])
    raise ValueError(f"invalid literal for a whole number: {value!r}")


def as_written(value: Any) -> str:
    """A list or mapping as JSON, with numbers as written in the file. Raises ValueError for bytes."""
    if isinstance(value, dict):
        pairs = (f"{as_written(str(key))}: {as_written(entry)}" for key, entry in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_written, value))}]"
    if isinstance(value, bytes):
        raise ValueError("a value is bytes, not text; store it as a string")
    if isinstance(value, WrittenFloat):
        return value.written
    return to_json(value, ensure_ascii=False, default=str)


class Options(list[str]):
    """A row's options. `index` compares labels as text: 1, 1.0 and " 1 " match the option '1'; true matches
    'true' or 'True'.
    """

    def index(self, value: Any, *bounds: Any) -> int:
        """The index of the option. Raises ValueError if no option matches, or several do."""
        if bounds or value in self:
            return super().index(value, *bounds)
        matches = [index for index, option in enumerate(self) if _plain(option) == _plain(value)]
        if len(matches) == 1:
            return matches[0]
        problem = "matches several" if matches else "is not in the list"
        raise ValueError(f"{value!r} {problem} of options {list(self)!r}")


def gold_index(gold: Any, count: int) -> int:
    """`gold` as the index of one of `count` options. Raises ValueError for other values: text and booleans
    are ambiguous, because they could also be the text of an option.
    """
    if isinstance(gold, bool | str):
        kind = "a text" if isinstance(gold, str) else "true or false"
        raise ValueError(
            f"which is {kind}, not an index; write gold: FIELD | int for the index of an option, from 0, or "
            "gold: options.index(FIELD) for its text"
        )
    if (isinstance(gold, int) or (isinstance(gold, float) and gold.is_integer())) and 0 <= gold < count:
        return int(gold)
    raise ValueError(f"which is none of its {count} options; correct the label")


def _plain(value: Any) -> str:
    """A label or option as text; whole numbers have no decimals."""
    if isinstance(value, bool):
        return str(value).casefold()
    text = str(value).strip()
    if text in ("True", "False"):
        return text.casefold()
    return str(int(match[1])) if (match := WHOLE.fullmatch(text)) else text


def _number(value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and NUMBER.fullmatch(value):
        number = float(value)
        if math.isfinite(number):
            return int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", value) else number
    raise ValueError(f"is not a number: {_shown(value)}")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    result = {"true": True, "false": False, "1": True, "0": False}.get(_plain(value).casefold())
    if result is None:
        raise ValueError(f"is neither true nor false: {_shown(value)}")
    return result


def _nested(value: Any, kind: Literal["list", "mapping"]) -> Any:
    expected = (list, tuple) if kind == "list" else (dict,)
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError as error:
            example = '["a", "b"]' if kind == "list" else '{"a": "b"}'
            raise ValueError(f"is not a JSON {kind} such as {example} ({error}): {_shown(value)}") from None
    if not isinstance(value, expected):
        raise ValueError(f"is not a {kind}: {_shown(value)}")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "number": _number,
    "boolean": _boolean,
    "list": partial(_nested, kind="list"),
    "mapping": partial(_nested, kind="mapping"),
}


def _shown(value: Any) -> str:
    try:
        text = to_json(value, ensure_ascii=False, default=str)
    except OutputError:  # NaN or an infinity
        text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
