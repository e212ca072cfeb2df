"""Healing on general text, with adapters or with all weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tailored_llama import checkpoint
from tailored_llama.data.passages import SHORTEST, passages
from tailored_llama.errors import DataError, RecipeError
from tailored_llama.recipe import Heal, load_recipe
from tailored_llama.workflows.contents import recipe_inputs, recipe_settings
from tests.support.healing import QUICK, apart, healed
from tests.support.tokenizers import tokenizer


@pytest.fixture
def text(tmp_path: Path, base: Path) -> Path:
    words = checkpoint.load_tokenizer(base)
    torch.manual_seed(3)
    rows = [words.decode(torch.randint(1, 16, (40,))) for _ in range(20)]
    place = tmp_path / "rows.jsonl"
    place.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return place


def test_pieces_cover_the_text_and_do_not_overlap(tmp_path: Path, base: Path) -> None:
    place = tmp_path / "text.txt"
    place.write_text(" ".join(f"word{number}" for number in range(400)))
    words = tokenizer()
    ids = words(place.read_text())["input_ids"]
    found = passages(str(place), 10**6, 32, words, vocabulary=10**6, seed=1)
    assert sum(map(len, found)) > len(ids) - SHORTEST
    assert sorted(map(len, found))[1:] == [32] * (len(found) - 1)
    assert passages(str(place), 3, 32, words, vocabulary=10**6, seed=1) == found[:3]
    assert passages(str(place), 10**6, 32, words, vocabulary=10**6, seed=2) != found
    with pytest.raises(DataError, match="cannot be rows of tasks"):
        passages("task", 1, 8, words, vocabulary=10**6, seed=1)
    place.write_text("short")
    with pytest.raises(DataError, match="use a longer text"):
        passages(str(place), 1, 32, words, vocabulary=10**6, seed=1)


@pytest.mark.parametrize("lora", [{"r": 8, "alpha": 16}, None])
def test_general_text_heals(
    base: Path, data: dict[str, str], unpruned: Path, text: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:  # fmt: skip
    settings = Heal(
        texts=0, text={"source": str(text), "pieces": 100, "length": 16}, lora=lora, epochs=8, batch_size=4,
        learning_rate=1e-2 if lora else 1e-3, precision="fp32",
    )  # fmt: skip
    out = healed(base, unpruned, data, settings=settings, out=tmp_path / "out")
    record = checkpoint.read_json(out / "texts.json")
    assert record["texts"] == 0
    assert 20 <= record["pieces"] <= 100
    losses = [json.loads(line)["loss"] for line in (out / "history.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    student, before, teacher = (
        AutoModelForCausalLM.from_pretrained(place) for place in (out, base, unpruned)
    )
    assert apart(student, teacher) < apart(before, teacher)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("trained", "teacher"))] == []
    written = (out / "manifest.json").stat().st_mtime_ns
    assert healed(base, unpruned, data, settings=settings, out=tmp_path / "out") == out
    assert (out / "manifest.json").stat().st_mtime_ns == written
    moved = {name: value for name, value in student.state_dict().items() if "embed_tokens" in name}
    for name, value in moved.items():
        assert torch.equal(value, before.state_dict()[name])


def test_both_kinds_of_text_together(
    base: Path, data: dict[str, str], unpruned: Path, text: Path, tmp_path: Path
) -> None:  # fmt: skip
    settings = QUICK.model_copy(
        update={"epochs": 1, "text": Heal(text={"source": str(text), "pieces": 10, "length": 16}).text}
    )
    out = healed(base, unpruned, data, settings=settings, out=tmp_path / "out")
    record = checkpoint.read_json(out / "texts.json")
    assert (record["texts"], record["pieces"]) == (40, 10)


def test_settings_that_leave_nothing_to_read_are_one_line() -> None:
    with pytest.raises(RecipeError, match="0 leaves no training data"):
        load_recipe({"model": "world", "heal": {"texts": 0}})
    with pytest.raises(RecipeError, match="cannot be rows of tasks"):
        load_recipe({"model": "world", "heal": {"text": {"source": "task"}}})


def test_a_run_depends_on_the_text_and_not_on_its_place(text: Path, tmp_path: Path) -> None:
    def recipe(place: Path) -> dict[str, object]:
        return {"model": "world", "tasks": ["world_boolq"], "heal": {"text": {"source": str(place)}}}

    other = tmp_path / "elsewhere.jsonl"
    other.write_bytes(text.read_bytes())
    one, two = load_recipe(recipe(text)), load_recipe(recipe(other))
    assert recipe_settings(one) == recipe_settings(two)
    assert recipe_inputs(one) == recipe_inputs(two)
    other.write_bytes(text.read_bytes() + b'{"text": "more"}\n')
    assert recipe_inputs(one) != recipe_inputs(two)
