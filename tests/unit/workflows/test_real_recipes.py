"""The recipes for a real LLaMA: they pass every check before a run, with local rows and texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.cli.options import recipe_of
from tailored_llama.data import load_task
from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.sweep.cells import cells_of
from tests.support.pico import saved, worded
from tests.support.tasks import ROWS, TASKS, write_split
from tests.support.tokenizers import tokenizer

REAL = ("smollm2-20", "smollm2-39")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = worded(
        context=512, intermediate_size=96, num_hidden_layers=4, tie_word_embeddings=True, weights="fresh",
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return saved(model, tmp_path_factory.mktemp("model"), tokenizer())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty training rows a task, as many labels as there are, and four to be scored."""
    root = tmp_path_factory.mktemp("data")
    for name in TASKS:
        text = next(key for key, value in ROWS[name].items() if isinstance(value, str) and " " in value)
        for split, count in (("train", 60), ("validation", 4), ("test", 4)):
            write_split(
                root / name,
                split,
                [ROWS[name] | {text: f"{split} {i} {ROWS[name][text]}"} for i in range(count)],
            )
    for place, content in (
        ("wikitext2/test.txt", "A row of text.\n" * 50),
        ("c4/demo.jsonl", json.dumps({"text": "x"})),
    ):
        (root / place).parent.mkdir()
        (root / place).write_text(content)
    return root


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_passes_the_checks_with_local_data(name: str, model: Path, data: Path) -> None:
    recipe = recipe_of(name, None, {"model": str(model)}, data=data)
    assert set(recipe.tasks) == set(TASKS)
    check(recipe)


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_needs_only_the_hub(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert recipe.data == {}
    assert all(load_task(task).source is not None for task in recipe.tasks)
    assert recipe.evaluate.limit == 200


def test_the_cut_is_chosen_on_rows_and_a_seed_of_no_reported_table() -> None:
    cells = cells_of(load_recipe("lab-real-cut"))
    assert len({cell.name for cell in cells}) == len(cells) >= 40
    assert {cell.recipe.evaluate.split for cell in cells} == {"train"}
    assert all(cell.recipe.tune.reserve and not cell.tuned for cell in cells)
    assert {cell.seed for cell in cells} == {11}
    assert {cell.recipe.prune.ratio for cell in cells} == {0.2, 0.39}


@pytest.mark.parametrize(("name", "ratio"), [("smollm2-20", 0.2), ("smollm2-39", 0.39)])
def test_the_lab_measures_the_recipes_that_are_bundled(name: str, ratio: float) -> None:
    cells = [cell for cell in cells_of(load_recipe("lab-real-whole")) if cell.chosen["variant"] == "recipe"]
    own = [cell for cell in cells if cell.recipe.prune.ratio == ratio]
    bundled = load_recipe(name)
    assert [cell.seed for cell in own] == [1, 2, 3]
    for cell in own:
        assert (cell.recipe.tasks, cell.recipe.prune, cell.recipe.heal, cell.recipe.tune) == (
            bundled.tasks, bundled.prune, bundled.heal, bundled.tune,
        )  # fmt: skip
