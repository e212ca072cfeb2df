"""What settings are chosen by: divergence from the dense model, few windows, reserved training rows, sweeps
that tune nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import log_softmax

from tailored_llama import world
from tailored_llama.data import load_task
from tailored_llama.data.shots import RESERVED, draw, reserved
from tailored_llama.data.tokens import Encoder
from tailored_llama.errors import DataError, RecipeError
from tailored_llama.recipe import Recipe, load_recipe
from tailored_llama.stages.evaluate import evaluate
from tailored_llama.stages.evaluate.perplexity import perplexity
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.sweep.cells import cells_of
from tests.support.pico import worded
from tests.support.tokenizers import tokenizer

TEXT = world.text("test")[:4000]


@torch.no_grad()
def test_divergence_is_the_mean_over_predicted_tokens() -> None:
    model, other, words = worded(), worded(), tokenizer()
    for parameter in other.parameters():
        parameter.add_(0.05 * torch.rand_like(parameter))
    found = perplexity(model, words, TEXT, 16, most=5, reference=other)
    assert (found["windows"], found["tokens"]) == (5, 75)
    ids = torch.tensor(Encoder(words)(TEXT))[:80].view(5, 16)
    own, theirs = (log_softmax(m(ids).logits[:, :-1].double(), -1) for m in (model, other))
    wanted = (theirs.exp() * (theirs - own)).sum(-1).mean()
    assert found["kl"] == pytest.approx(float(wanted), rel=1e-3)
    assert found["kl"] > 0.001
    assert perplexity(model, words, TEXT, 16, most=5, reference=model)["kl"] == pytest.approx(0, abs=1e-6)
    assert "kl" not in perplexity(model, words, TEXT, 16)


def test_divergence_needs_a_reference(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    requested: dict[str, Any] = {"perplexity": [text], "length": 16, "tokenizer": tokenizer()}
    with pytest.raises(RecipeError, match="--reference"):
        evaluate(worded(), kl=True, **requested)
    row = evaluate(worded(), kl=True, windows=3, reference=worded(), precision="fp32", **requested)
    assert row.perplexity[str(text)].kl is not None
    assert row.perplexity[str(text)].windows == 3


def test_reserved_rows_are_the_same_for_every_seed_and_never_shots() -> None:
    task = load_task("world_boolq")
    rows, scored = task.rows("train"), task.rows("scored")
    kept = reserved(task, rows, scored)
    assert len(kept) == RESERVED
    chosen = {row["question"] + row["passage"] for row in kept}
    for seed in range(5):
        drawn = draw(task, rows, 300, seed, scored=scored, reserve=True).rows
        assert not chosen & {row["question"] + row["passage"] for row in drawn}
    few = rows[:10]
    assert len(reserved(task, few)) == 5
    with pytest.raises(DataError, match=r"5 more are reserved: tune\.reserve"):
        draw(task, few, 6, 1, reserve=True)
    before = draw(task, rows, 50, 7, scored=scored)
    assert before.indices == draw(task, rows, 50, 7, scored=scored, reserve=False).indices


def recipe(**changes: Any) -> Recipe:
    return load_recipe({"model": "world", "tasks": ["world_boolq"], **changes})


def test_training_rows_are_scored_only_where_no_shot_is_drawn_from_them() -> None:
    with pytest.raises(RecipeError, match=r"tune\.reserve: true"):
        check(recipe(evaluate={"split": "train"}))
    check(recipe(evaluate={"split": "train"}, tune={"reserve": True}))


def test_a_sweep_may_tune_nothing() -> None:
    cells = cells_of(recipe(sweep={"tuned": False, "prune.ratio": [0.2, 0.3]}))
    assert [cell.tuned for cell in cells] == [False, False]
    assert cells_of(recipe(sweep={"prune.ratio": [0.2]}))[0].tuned
    with pytest.raises(RecipeError, match=r"sweep\.tuned: true or false"):
        cells_of(recipe(sweep={"tuned": 1}))
