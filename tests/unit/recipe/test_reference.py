"""The recipe's fields describe themselves, and its reference page says the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from tailored_llama.recipe import Recipe
from tailored_llama.recipe.reference import fill, keys
from tests.support import ROOT

PAGE = ROOT / "docs" / "reference" / "recipe.md"
KEYS = dict(keys(Recipe))


def values(kind: Any) -> Iterator[str]:
    """The names that a field takes, of its Literals at any depth."""
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    else:
        for part in get_args(kind):
            yield from values(part)


def test_the_page_is_fresh() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page) == page, "stale: make docs"


def test_the_page_has_every_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in KEYS:
        section, _, key = name.partition(".")
        assert f"| `{key or section}` |" in page or f"| [`{section}`](#{section}) |" in page, name


def test_a_stale_table_is_written_anew() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "| `shots` | `50` | rows |" in page
    stale = page.replace("| `shots` | `50` |", "| `shots` | `51` |")
    assert stale != page
    assert fill(stale) == page
    with pytest.raises(KeyError):
        fill("<!-- table: trim -->\n<!-- end -->")


@pytest.mark.parametrize("name", KEYS)
def test_a_field_is_described_with_its_values(name: str) -> None:
    field: FieldInfo = KEYS[name]
    assert field.description, name
    assert not field.description.endswith("."), name
    assert "|" not in field.description
    missing = [value for value in values(field.annotation) if f"`{value}`" not in field.description]
    assert not missing, f"{name}: its description does not name {missing}"
