"""What is computed once, and that it changes nothing: rows of branches against one sequence at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    PreTrainedModel,
)

from tailored_llama.families import family_names
from tailored_llama.scoring import can_branch, forest, forward, loglikelihoods
from tailored_llama.scoring.forest import Forest, Ids, plant
from tests.support.pico import PLAIN_SIZES, pico, plain, shaped

Pairs = list[tuple[Ids, Ids]]
MODELS = {"plain": plain(), "shaped": shaped()}


@pytest.fixture(autouse=True)
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "ROW_TOKENS", 24)
    monkeypatch.setattr(forest, "PREFIX_TOKENS", 4)
    monkeypatch.setattr(forward, "BATCH_TOKENS", 60)


def windowed() -> PreTrainedModel:
    return pico("mistral", **{**PLAIN_SIZES, "num_hidden_layers": 2, "sliding_window": 5}, weights="fresh")


def alone(model: PreTrainedModel, ids: Ids, answer: Ids) -> tuple[float, bool]:
    with torch.inference_mode():
        places = model(torch.tensor([ids])).logits[0, -len(answer) :].log_softmax(-1)
    value = sum(float(place[token]) for place, token in zip(places, answer, strict=True))
    return value, places.argmax(-1).tolist() == list(answer)


def check(model: PreTrainedModel, pairs: Pairs, batch_size: int | None = None) -> None:
    expected = [alone(model, *pair) for pair in pairs]
    found = loglikelihoods(model, pairs, batch_size=batch_size)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def question(prefix: list[int], context: list[int], answers: list[list[int]]) -> Pairs:
    return [(tuple(prefix + context + answer)[:-1], tuple(answer)) for answer in answers]


# Few different tokens, so that sequences share by chance too, and repeat each other.
tokens = st.integers(3, 6)
answers = st.lists(st.lists(tokens, min_size=1, max_size=8), min_size=1, max_size=4)
questions = st.lists(st.tuples(st.lists(tokens, min_size=1, max_size=10), answers), min_size=1, max_size=6)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(tokens, max_size=8), questions, st.sampled_from(sorted(MODELS)), st.sampled_from([None, 1, 3])
)
def test_sharing_changes_nothing(prefix: list[int], chosen: Any, name: str, batch_size: int | None) -> None:
    pairs = [pair for context, choices in chosen for pair in question(prefix, context, choices)]
    check(MODELS[name], pairs, batch_size)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [plain, shaped])
def test_few_shots_and_choices(attention: str, kind: Any) -> None:
    model = kind(attn_implementation=attention)
    shots = list(range(10, 20))
    pairs = [
        pair
        for first in range(20, 30)
        for pair in question(shots, [first, 7, first + 1, 9, 5], [[3], [4], [5, 6, 7, 8], [5, 6, 8]])
    ]
    assert [len(f.prefix) for f in plant({ids: len(ids) - len(a) for ids, a in pairs})] == [10]
    check(model, pairs)


def test_the_greedy_answer_is_known() -> None:
    model = MODELS["plain"]
    best = int(model(torch.tensor([[5, 6, 7]])).logits[0, -1].argmax())
    (_, yes), (_, no) = loglikelihoods(model, [((5, 6, 7), (best,)), ((5, 6, 7), ((best + 1) % 50,))])
    assert (yes, no) == (True, False)


def written(forests: list[Forest]) -> int:
    return sum(len(f.prefix) + sum(len(row.ids) for row in f.rows) for f in forests)


def test_a_shared_context_is_written_once() -> None:
    context = tuple(range(10))
    firsts = {(*context, 20 + choice, 30, 31): 10 for choice in range(4)}
    (grown,) = plant(firsts)
    assert (grown.prefix, len(grown.rows), len(grown.rows[0].ids)) == ((), 1, 10 + 4 * 3)
    row = grown.rows[0]
    for sequence, path in row.paths.items():
        assert tuple(row.ids[node] for node in path) == sequence
        assert [row.positions[node] for node in path] == list(range(13))


def test_partial_evaluation_shares_what_stands_before_the_blank() -> None:
    before, after = tuple(range(8)), (40, 41, 42)
    (grown,) = plant({(*before, option, *after): 9 for option in (20, 21)})
    # What follows the blank has seen the option: it is another computation for each.
    assert written([grown]) == 8 + 2 * 4


def test_a_prefix_of_all_is_computed_once_and_those_that_were_cut_stay_apart() -> None:
    prefix = tuple(range(9))
    whole = {(*prefix, 20 + q, 30, 31, 32, 33, 34, 40 + c): 15 for q in range(8) for c in range(2)}
    cut = {(*range(3 + q, 9), 20 + q, 35): 5 for q in range(2)}
    forests = plant(whole | cut)
    assert [f.prefix for f in forests] == [prefix, ()]
    assert written(forests) == 9 + 8 * (6 + 2) + sum(map(len, cut))
    assert all(row.start == len(f.prefix) for f in forests for row in f.rows)
    assert {s for f in forests for row in f.rows for s in row.paths} == set(whole | cut)


def test_what_is_read_is_never_in_the_prefix() -> None:
    # All sequences share 12 tokens, and the answers begin after the sixth.
    firsts = {(*range(12), 20 + n, 21, 22): 6 for n in range(12)}
    assert [len(f.prefix) for f in plant(firsts)] == [6]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    seen: list[torch.Size] = []
    model = MODELS["plain"].base_model
    original = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **kw: (seen.append(kw["input_ids"].shape), original(**kw))[1]
    )
    return seen


def test_the_load_of_a_batch_is_bounded(loads: list[torch.Size]) -> None:
    pairs = [((20 + n, 5, 6, 7) * (1 + n % 6), (4, 5)) for n in range(20)] + [((8, 9) * 40, (4,))]
    loglikelihoods(MODELS["plain"], pairs)
    assert all(rows * length <= 60 or rows == 1 for rows, length in loads)
    assert any(rows > 1 for rows, _ in loads)


@pytest.mark.parametrize("family", family_names())
def test_every_family(family: str) -> None:
    model = pico(family, **{**PLAIN_SIZES, "num_hidden_layers": 3, "pad_token_id": 0}, weights="fresh")
    check(model, question(list(range(5)), list(range(3, 15)), [[3, 4], [5], [6, 7, 8], [6, 7, 9]]))


def test_models_that_cannot_branch_are_scored_row_by_row() -> None:
    model = windowed()
    assert not can_branch(model)
    check(model, question([], list(range(3, 15)), [[3, 4], [5], [6, 7, 8]]))
    assert [can_branch(m) for m in MODELS.values()] == [True, True]
    assert not can_branch(plain(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    assert not can_branch(torch.nn.Linear(2, 2))
