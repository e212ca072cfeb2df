"""Exports and leftovers that a recipe requests."""

from __future__ import annotations

import pytest

from tailored_llama.errors import RecipeError
from tailored_llama.recipe import Recipe, bundled_recipes, find_recipe, load_recipe
from tailored_llama.workflows.contents import recipe_settings


def test_no_recipe_exports_unless_it_says_so() -> None:
    asking = {name: load_recipe(find_recipe(name)).export.formats for name in bundled_recipes()}
    assert {name for name, formats in asking.items() if formats} == {"deploy"}
    assert Recipe(model="m").export.formats == ()


def test_what_is_kept_is_no_setting_of_a_result() -> None:
    assert "keep" not in recipe_settings(load_recipe({"model": "world", "keep": "all"}))
    with pytest.raises(RecipeError, match="keep"):
        load_recipe({"model": "world", "keep": "some"})
