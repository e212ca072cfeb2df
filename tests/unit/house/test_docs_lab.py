"""The recipes of the lab: what docs/lab/world.md says of them holds."""

from __future__ import annotations

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.sweep.__main__ import fill
from tailored_llama.workflows.sweep.cells import cells_of, groups_of
from tests.support import ROOT

PAGE = ROOT / "docs" / "lab" / "world.md"
SWEEPS = {"lab-paper": 30, "lab-one-change": 90, "lab-ratios": 45, "lab-shots": 60}
CHOICES = ("lab-choose-50", "lab-choose-65")


@pytest.mark.parametrize(("name", "count"), SWEEPS.items())
def test_the_lab_recipes_are_sound_and_their_tables_have_a_place(name: str, count: int) -> None:
    found = cells_of(load_recipe(name))
    assert len(found) == count
    assert {cell.seed for cell in found} == {1, 2, 3, 4, 5}
    page = PAGE.read_text()
    assert "\n| x |\n" in fill(page, name, "| x |")
    assert f"tailor run {name} --out runs/{name}\n" in page


@pytest.mark.parametrize("name", [*SWEEPS, *CHOICES])
def test_every_setting_is_on_the_page_with_the_same_tuning_of_the_unpruned_model(name: str) -> None:
    found = cells_of(load_recipe(name))
    assert all(cell.dense_tuned for cell in found)
    table = PAGE.read_text().split(f"<!-- sweep: {name} -->")[1].split("<!-- end -->")[0]
    header, _, *rows = [line.split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert [row[0].strip("| ") for row in rows] == [group for group, _ in groups_of(found)]
    assert all(float(row[header.index("dense, tuned")]) > 0 for row in rows)


@pytest.mark.parametrize("name", CHOICES)
def test_settings_are_chosen_on_questions_and_shots_that_no_table_scores(name: str) -> None:
    cells = cells_of(load_recipe(name))
    assert {cell.recipe.evaluate.split for cell in cells} == {"validation"}
    scored = {cell.seed for cell in cells_of(load_recipe("lab-ratios"))}
    assert scored.isdisjoint({cell.seed for cell in cells})
    for cell in cells[:2]:
        if (bundled := cell.chosen["variant"]) in ("demo", "best"):
            won = load_recipe(bundled)
            assert (cell.recipe.tune, cell.recipe.heal) == (won.tune, won.heal)
    page = PAGE.read_text()
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
