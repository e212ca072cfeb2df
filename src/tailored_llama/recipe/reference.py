"""The tables of docs/reference/recipe.md, from the descriptions, units and defaults of the recipe's fields.

python -m tailored_llama.recipe.reference docs/reference/recipe.md

A table is between `<!-- table: NAME -->` and `<!-- end -->`; the rest of the page is not generated.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tailored_llama.recipe.schema import Recipe

TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
TOP = "recipe"
"""The name of the table of top-level keys."""


def fill(page: str) -> str:
    """`page` with all marked tables regenerated; KeyError for a table without a section in the recipe."""
    tables = {TOP: _top()} | {name: _section(model) for name, model in _sections()}
    return TABLE.sub(lambda mark: f"{mark[1]}{tables[mark[2]]}{mark[3]}", page)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Recipe.model_fields.items():
        model = _model(field)
        if model is not None:
            yield name, model


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field with keys, also if the field is optional."""
    for kind in get_args(field.annotation) or (field.annotation,):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _top() -> str:
    links = {name: f"[`{name}`](#{name})" for name in [*dict(_sections()), "sweep"]}
    rows = [
        _row(links.get(name, f"`{name}`"), "" if name in links else _default(field), field)
        for name, field in Recipe.model_fields.items()
    ]
    return _table(rows)


def _section(model: type[BaseModel]) -> str:
    return _table([_row(f"`{key}`", _default(field), field) for key, field in keys(model)])


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of a section, including the keys of its parts."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}", field
        part = _model(field)
        if part is not None:
            yield from keys(part, f"{above}{name}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    if isinstance(field.default, BaseModel):
        return "see below"
    return f"`{_yaml(field.default)}`"


def _yaml(value: Any) -> str:
    """`value` in the notation of a recipe."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    return str(value)


def _row(key: str, default: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = extra["unit"] if isinstance(extra, dict) else ""
    return f"| {key} | {default} | {unit} | {field.description} |\n"


def _table(rows: list[str]) -> str:
    return "".join(["| key | default | unit | meaning |\n|---|---|---|---|\n", *rows])


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
