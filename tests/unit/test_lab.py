"""The recipes of the lab: what docs/lab.md says of them holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.sweep.__main__ import fill
from tailored_llama.sweep.cells import cells_of


@pytest.mark.parametrize(
    ("name", "count"), [("lab-paper", 30), ("lab-one-change", 90), ("lab-ratios", 45), ("lab-shots", 60)]
)
def test_the_lab_recipes_are_sound_and_their_tables_have_a_place(name: str, count: int) -> None:
    found = cells_of(load_recipe(name))
    assert len(found) == count
    assert {cell.seed for cell in found} == {1, 2, 3, 4, 5}
    page = (Path(__file__).resolve().parents[2] / "docs" / "lab.md").read_text()
    assert "\n| x |\n" in fill(page, name, "| x |")
    assert f"tailor run {name} --out runs/{name}\n" in page


@pytest.mark.parametrize("name", ["lab-choose-50", "lab-choose-65"])
def test_settings_are_chosen_on_questions_and_shots_that_no_table_scores(name: str) -> None:
    cells = cells_of(load_recipe(name))
    assert {cell.recipe.evaluate.split for cell in cells} == {"validation"}
    scored = {cell.seed for cell in cells_of(load_recipe("lab-ratios"))}
    assert scored.isdisjoint({cell.seed for cell in cells})
    for cell in cells[:2]:
        if (bundled := cell.chosen["variant"]) in ("demo", "best"):
            won = load_recipe(bundled)
            assert (cell.recipe.tune, cell.recipe.heal) == (won.tune, won.heal)
    page = (Path(__file__).resolve().parents[2] / "docs" / "lab.md").read_text()
    assert "\n| x |\n" in fill(page, name, "| x |")
    assert f"tailor run {name} --out runs/{name}\n" in page


@pytest.mark.parametrize(("variant", "name"), [("default", "demo"), ("best", "best")])
def test_the_lab_measures_the_recipes_that_are_bundled(variant: str, name: str) -> None:
    recipe = load_recipe(name)
    own = [cell.recipe for cell in cells_of(load_recipe("lab-ratios")) if cell.chosen["variant"] == variant]
    half = next(each for each in own if each.prune.ratio == 0.5)
    assert (half.model, half.tasks, half.prune, half.heal) == (
        recipe.model, recipe.tasks, recipe.prune, recipe.heal,
    )  # fmt: skip
    assert (half.tune, half.evaluate) == (recipe.tune, recipe.evaluate)
