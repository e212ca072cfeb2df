"""Losses against their definitions, computed the long way: every choice alone, every logit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from tailored_llama import plugins
from tailored_llama.recipe import Tune
from tailored_llama.scoring import Request
from tailored_llama.scoring.choices import Scored
from tailored_llama.training import batches as data
from tailored_llama.training import generation as writing
from tailored_llama.training import teacher
from tailored_llama.training.batches import Distributions, Shot, collate, micro_batches, rows_of
from tailored_llama.training.loop import accumulate, terms_of, weighted
from tailored_llama.training.loss import loss_named
from tests.support.pico import fresh
from tests.support.shots import VOCAB, with_teacher

LENGTHS = ((4, 9, 6), (5, 5), (3, 8, 2, 7))


def question(number: int, lengths: tuple[int, ...], *, norm: bool = True) -> Shot:
    """A context of 12 tokens, and answers of 1 to 3, of which two begin alike."""
    draw = torch.Generator().manual_seed(number)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(VOCAB, (count,), generator=draw).tolist())

    context, first = tokens(12), tokens(1)
    answers = [first + tokens(1 + i % 2) if i < 2 else tokens(1 + i % 3) for i in range(len(lengths))]
    mean = sum(lengths) / len(lengths)
    return Shot(
        tuple(
            Request(number, i, (context + answer)[:-1], answer, cut=False) for i, answer in enumerate(answers)
        ),
        gold=number % len(lengths),
        weights=tuple(mean / length if norm else 1.0 for length in lengths),
    )


def shots(*, norm: bool = True) -> list[Shot]:
    return [question(number, lengths, norm=norm) for number, lengths in enumerate(LENGTHS)]


def alone(model: PreTrainedModel, choice: Request) -> Tensor:
    """Log-probabilities [answer, vocab] of one choice, read alone."""
    logits = model(torch.tensor([choice.ids])).logits[0, -len(choice.answer) :]
    return logits.log_softmax(-1)


def likelihood(model: PreTrainedModel, choice: Request) -> Tensor:
    return alone(model, choice)[torch.arange(len(choice.answer)), torch.tensor(choice.answer)].sum()


def direct(model: PreTrainedModel, requested: list[Shot], name: str, taught: PreTrainedModel) -> Tensor:
    """The definition of each loss over one step."""
    if name == "answer":
        right = [shot.choices[shot.gold] for shot in requested]
        return -sum(likelihood(model, c) for c in right) / sum(len(c.answer) for c in right)
    if name == "choice":
        values = [
            torch.stack([w * likelihood(model, c) for w, c in zip(shot.weights, shot.choices, strict=True)])
            for shot in requested
        ]
        return -sum(v.log_softmax(0)[s.gold] for v, s in zip(values, requested, strict=True)) / len(requested)
    choices = [choice for shot in requested for choice in shot.choices]
    with torch.no_grad():
        targets = torch.cat([alone(taught, choice) for choice in choices])
    return kl_div(
        torch.cat([alone(model, c) for c in choices]), targets, reduction="sum", log_target=True
    ) / len(targets)  # fmt: skip


def gradients(model: PreTrainedModel) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def another() -> PreTrainedModel:
    model = fresh(initializer_range=0.3)
    with torch.no_grad():
        model.lm_head.weight.mul_(3)
    return model


@pytest.mark.parametrize("name", plugins.bundled(plugins.LOSSES))
@pytest.mark.parametrize("branching", [True, False])
@pytest.mark.parametrize("budget", [2048, 16])
def test_losses_and_gradients_are_those_of_the_definition(
    name: str, branching: bool, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MICRO_BATCH_TOKENS", budget)
    taught = another()
    ours, theirs = fresh(initializer_range=0.2), fresh(initializer_range=0.2)
    step = micro_batches(with_teacher(shots(), taught), branching=branching)
    assert (len(step) > 1) == (budget == 16)
    parts = accumulate(ours, step, terms_of(Tune(loss=name)), "fp32")
    expected = direct(theirs, shots(), name, taught)
    expected.backward()
    assert parts[name] == pytest.approx(expected.item(), rel=1e-4)
    assert expected.item() > 0.1
    torch.testing.assert_close(gradients(ours), gradients(theirs), atol=2e-6, rtol=2e-4)


def test_weights_add_up_losses_and_their_gradients() -> None:
    taught, requested = another(), shots()
    ours, theirs = fresh(initializer_range=0.2), fresh(initializer_range=0.2)
    chosen = Tune(loss={"answer": 0.5, "choice": 2.0, "distill": 1.0})
    terms = terms_of(chosen)
    total = weighted(terms, accumulate(ours, micro_batches(with_teacher(requested, taught)), terms, "fp32"))
    expected = sum(w * direct(theirs, requested, name, taught) for name, w in chosen.loss.items())
    expected.backward()
    assert total == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(gradients(ours), gradients(theirs), atol=2e-6, rtol=2e-4)


@pytest.mark.parametrize("norm", [True, False])
def test_the_choice_loss_is_the_scorers_probability_of_the_right_choice(norm: bool) -> None:
    model, requested = fresh(initializer_range=0.2), shots(norm=norm)
    with torch.no_grad():
        parts = accumulate(model, micro_batches(requested), terms_of(Tune(loss="choice")), "fp32")
        expected = [
            Scored(
                tuple(float(likelihood(model, c)) for c in shot.choices), lengths, shot.gold, False
            ).probabilities("acc_norm" if norm else "acc")[shot.gold]
            for shot, lengths in zip(requested, LENGTHS, strict=True)
        ]  # fmt: skip
    assert parts["choice"] == pytest.approx(-sum(torch.tensor(expected).log()).item() / 3, rel=1e-4)


@pytest.mark.parametrize(("whole", "top_k"), [(True, VOCAB), (False, 8), (False, VOCAB)])
def test_a_student_like_its_teacher_has_nothing_to_learn(
    whole: bool, top_k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(teacher, "WHOLE", 1)
    model = another()
    requested = with_teacher(shots(), model, top_k)
    parts = accumulate(
        model, micro_batches(requested, branching=True), terms_of(Tune(loss="distill")), "fp32"
    )
    assert parts["distill"] == pytest.approx(0, abs=1e-6)
    assert gradients(model).abs().max() < 1e-4


@given(st.integers(0, 100), st.integers(1, VOCAB - 1))
@settings(max_examples=30, deadline=None)
def test_the_divergence_on_what_is_kept_is_below_the_whole(seed: int, kept: int) -> None:
    torch.manual_seed(seed)
    batch = collate([Shot((Request(0, 0, (1, 2), (3,), cut=False),))])
    theirs, ours = torch.randn(1, VOCAB).log_softmax(-1), torch.randn(1, VOCAB).log_softmax(-1)
    values, tokens = theirs.topk(kept)
    distill = loss_named("distill").sum
    whole = distill(ours, replace(batch, teacher=Distributions(theirs)))
    part = distill(ours, replace(batch, teacher=Distributions(values, tokens)))
    assert -1e-5 <= part <= whole + 1e-4


def test_choices_that_begin_alike_share_a_row_and_others_do_not() -> None:
    shot = question(0, LENGTHS[0])
    (row,) = rows_of(shot.choices, True)
    assert len(row.ids) < sum(len(choice.ids) for choice in shot.choices)
    assert len(rows_of(shot.choices, False)) == 3
    apart = tuple(Request(0, i, (i, i, i), (i,), cut=False) for i in range(3))
    assert len(rows_of(apart, True)) == 3


def test_the_teacher_writes_from_the_prompts_by_seed(tmp_path: Path) -> None:
    class Tokenizer:
        eos_token_id = None

    prompts = writing.prompts_of(shots())
    first, again, other = (
        writing.write_texts(another(), Tokenizer(), prompts, 5, 6, seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    odd = another()
    odd.generation_config.repetition_penalty = 9.0
    assert writing.write_texts(odd, Tokenizer(), prompts, 5, 6, 1) == first, (
        "as it is, whatever its file says"
    )
    assert odd.generation_config.repetition_penalty == 9.0
    assert len(first) == 5
    for text, shot in zip(first, [*shots(), *shots()], strict=False):
        context = shot.choices[0].ids[:12]
        begun = len(text) - 6
        assert 1 <= begun <= 12
        assert tuple(text[:begun]) == context[:begun]
