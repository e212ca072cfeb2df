"""The whole world: leaks, prompt lengths in every wording, the bundled model's figures and its text."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
import torch

from tailored_llama import world
from tailored_llama.data import load_task
from tailored_llama.data.shots import draw
from tailored_llama.scoring import accuracy, score
from tests.support.tasks import ROWS
from tools.world import leaks, pages
from tools.world.freeze import frozen
from tools.world.splits import CHOICES

LONGEST = 64


@pytest.fixture(scope="module")
def model():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(world.model_path()).eval()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(world.model_path())


def test_the_frozen_files_are_those_that_the_generator_makes():
    made = frozen()
    for name, content in made.items():
        assert (world.FOLDER / name).read_bytes() == content, name
    folders = [world.FOLDER / "rows", world.FOLDER / "text"]
    present = {path.relative_to(world.FOLDER).as_posix() for folder in folders for path in folder.iterdir()}
    assert present == set(made)


def test_nothing_scored_stands_in_two_chunks_of_the_text():
    texts = [d.text + d.answer for chunk in (0, 7) for d in pages.documents(chunk, 16_000)]
    assert list(leaks.leaks(texts)) == []
    assert list(leaks.leaks(world.text("test").splitlines())) == []


@pytest.mark.parametrize("name", world.TASKS)
def test_a_question_with_its_answer_has_at_most_64_tokens_in_every_wording(tokenizer, name):
    task = load_task(f"world_{name}")
    for split in ("train", "validation", "test"):
        for prompt in task.prompts:
            texts = [
                context + answer
                for example in task.examples(prompt, task.rows(split))
                for context, answer in zip(example.contexts, example.answers, strict=True)
            ]
            assert max(map(len, tokenizer(texts)["input_ids"])) <= LONGEST, (split, prompt)


def test_the_world_has_no_unknown_token(tokenizer):
    assert len(tokenizer) <= 1024
    for name in world.TASKS:
        task = load_task(f"world_{name}")
        for example in task.examples("harness", task.rows("test")):
            assert tokenizer.unk_token_id not in tokenizer(example.context + example.answer)["input_ids"]


def test_the_bundled_model_is_a_small_grouped_query_llama(model):
    config = model.config
    assert config.model_type == "llama"
    assert config.num_key_value_heads < config.num_attention_heads
    assert 2_000_000 <= sum(p.numel() for p in model.parameters()) <= 3_000_000
    size = sum(path.stat().st_size for path in world.model_path().iterdir())
    assert size <= 16 * 2**20
    assert not [path for path in world.model_path().iterdir() if path.suffix in (".bin", ".pt")]


def test_the_figures_of_the_card_hold(model, tokenizer):
    """On validation, in lm_eval's wording: what training wrote down is what the shipped file scores."""
    stated = json.loads((world.model_path() / "figures.json").read_text())["validation"]
    for name in world.TASKS:
        task = load_task(f"world_{name}")
        rows = task.rows("validation")
        figure = accuracy(score(model, tokenizer, task.examples("harness", rows)), task.metric)
        assert figure == pytest.approx(stated[name]["harness"], abs=0.01)
        assert figure > 1 / CHOICES[name] + 0.1, "not above chance"


def test_held_out_narrative_is_as_likely_as_known_narrative(model, tokenizer):
    """The model knows the language of the world, not the stories by heart."""
    losses = {}
    for split in ("train", "test"):
        ids = tokenizer(world.text(split))["input_ids"][: 128 * 64]
        windows = torch.tensor(ids[: len(ids) // 128 * 128]).view(-1, 128)
        with torch.inference_mode():
            losses[split] = model(input_ids=windows, labels=windows).loss.item()
    assert losses["test"] < 0.5 * math.log(1024)
    assert losses["test"] - losses["train"] < 0.2


def test_the_worlds_shots_are_those_of_before() -> None:
    drawn = []
    for name in sorted([*ROWS, "tell"]):
        task = load_task(f"world_{name}")
        drawn.append(draw(task, task.rows("train"), 50, 42, scored=task.rows("scored")).indices)
    assert hashlib.sha256(json.dumps(drawn).encode()).hexdigest() == (
        "a8d6e40f0a804edacf90b83e66366b6dedaaf4050864af739cefa2714e92d75b"
    )
