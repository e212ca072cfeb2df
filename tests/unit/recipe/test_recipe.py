"""The recipe: strict, YAML 1.2, overridable, with one-line errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tailored_llama.errors import RecipeError
from tailored_llama.recipe import Recipe, bundled_recipes, load_recipe, override, parse_value

MINIMAL = {"model": "m", "tasks": ["boolq"]}


def test_yaml_is_read_by_the_core_schema_of_1_2(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: yes\ntasks: no\ntune: {learning_rate: 1e-4}\n")
    recipe = load_recipe(path)
    assert recipe.model == "yes"
    assert recipe.tasks == ("no",)
    assert recipe.tune.learning_rate == 1e-4
    assert parse_value("4:30") == "4:30"


@pytest.mark.parametrize("name", bundled_recipes())
def test_every_bundled_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).tasks


def test_the_papers_recipes_carry_the_papers_settings() -> None:
    for name, ratio in (("paper-20", 0.25), ("paper-50", 0.5)):
        recipe = load_recipe(name)
        assert (recipe.prune.ratio, recipe.prune.of, recipe.prune.layers) == (ratio, "units", (4, 30))
        assert (recipe.tune.shots, recipe.tune.epochs, recipe.tune.learning_rate) == (50, 30, 1e-4)
        assert (recipe.tune.lora.r, recipe.tune.lora.alpha, recipe.tune.lora.dropout) == (8, 16, 0.1)


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"prune.ratoi": 0.2}, "did you mean 'ratio'"),
        ({"tunes": {}}, "did you mean 'tune'"),
        ({"prune.ratio": 0.0}, "prune.ratio: input should be greater than 0"),
        ({"prune.ratio": 1}, "prune.ratio: input should be less than 1"),
        ({"prune.layers": [4, 2]}, "not a range of layers"),
        ({"prune.units": []}, "each unit kind once"),
        ({"prune.criterion": "taylr"}, "prune.criterion"),
        ({"tasks": ["a", "a"]}, "each task once"),
        ({"tune.lora.rank": 3}, "unknown key 'tune.lora.rank'"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(change: dict[str, object], output: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(MINIMAL, list(change.items()))
    assert output in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_array_in_the_wrong_place_is_one_line_too() -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe({**MINIMAL, "prune": {"ratio": 0.2, "calibration": torch.zeros(4, 64, dtype=torch.int)}})
    output = str(refused.value)
    assert output.startswith("recipe: prune.calibration: input should be a valid dictionary")
    assert "\n" not in output
    assert output.endswith("...)")
    assert len(output) < 200


def test_no_such_recipe_names_the_near_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'demo'"):
        load_recipe("demoo")


@pytest.mark.parametrize("text", ["model: [", "- a\n- b\n", "a: 1\na: 2\n"])
def test_what_is_no_recipe_is_refused_with_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"broken\.yaml"):
        load_recipe(path)


def test_override_leaves_the_original_alone() -> None:
    base = {"prune": {"ratio": 0.5}}
    changed = override(base, [("prune.ratio", 0.2), ("tune.lora.r", 4)])
    assert base == {"prune": {"ratio": 0.5}}
    assert changed == {"prune": {"ratio": 0.2}, "tune": {"lora": {"r": 4}}}


def test_a_recipe_survives_its_own_json() -> None:
    recipe = load_recipe("demo")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
