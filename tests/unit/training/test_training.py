"""Shots to batches, logits at the answers only, the loop and its guards."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailored_llama.checkpoint import merge_adapter
from tailored_llama.errors import NotFiniteError, TuneError
from tailored_llama.recipe import Lora, Tune
from tailored_llama.training import batches as data
from tailored_llama.training import forward, precision
from tailored_llama.training import loop as trainer
from tailored_llama.training.batches import Material, collate, micro_batches
from tailored_llama.training.cpu_kernels.dropout import Masks, QuickDropout
from tailored_llama.training.epochs import epochs
from tailored_llama.training.lora import attach
from tests.support.pico import fresh
from tests.support.shots import VOCAB, only, shots_of


@given(st.lists(st.integers(2, 40), min_size=1, max_size=30), st.integers(1, 9), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_shot_once_an_epoch_and_the_rest_is_kept(lengths: list[int], size: int, seed: int) -> None:
    shots = shots_of(lengths)
    for steps in epochs(Material(shots), size, 2, seed):
        assert len(steps) == math.ceil(len(shots) / size)
        seen = Counter(
            tuple(batch.ids.flatten()[place - place % batch.ids.shape[1] : place + 1].tolist())
            for step in steps for batch in step
            for place in (int(batch.places[batch.at[batch.choice == i]].max()) for i in range(len(batch.ids)))
        )  # fmt: skip
        assert seen == Counter(shot.choices[0].ids for shot in shots)


def test_order_and_company_come_from_the_seed_and_differ_between_epochs() -> None:
    shots = shots_of([5, 9, 7, 6, 8, 5, 9, 6] * 3)

    def plan(seed: int) -> list[list[tuple[int, ...]]]:
        return [
            [tuple(b.targets.tolist()) for step in steps for b in step]
            for steps in epochs(Material(shots), 4, 2, seed)
        ]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)
    first, second = plan(1)
    assert {tuple(sorted(step)) for step in first} != {tuple(sorted(step)) for step in second}


def test_batches_waste_little_padding() -> None:
    shots = shots_of(random.Random(0).choices(range(10, 60), k=64))
    batches = [batch for steps in epochs(Material(shots), 8, 4, 0) for step in steps for batch in step]
    assert sum(b.tokens for b in batches) > 0.85 * sum(b.ids.numel() for b in batches)


def test_a_step_too_large_for_one_pass_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MICRO_BATCH_TOKENS", 40)
    batches = micro_batches(shots_of([10, 30, 12, 50, 11, 9]))
    assert [b.ids.shape[0] for b in batches] == [3, 1, 1, 1]
    assert sum(b.tokens for b in batches) == 122


def test_targets_are_the_tokens_after_the_marked_places() -> None:
    batch = collate([only((1, 2, 3, 4), (4, 5)), only((6, 7), (8,))])
    assert batch.ids.tolist() == [[1, 2, 3, 4], [6, 7, 0, 0]]
    assert batch.places[batch.at].tolist() == [2, 3, 5]
    assert batch.targets.tolist() == [4, 5, 8]
    assert batch.choice.tolist() == [0, 0, 1]
    assert batch.tokens == 6


def test_logprobs_at_the_answers_are_those_of_each_shot_alone() -> None:
    model, shots = fresh(), shots_of([9, 14, 5])
    with torch.no_grad():
        batch = collate(shots)
        together = forward.logprobs(model, batch, "fp32")[batch.at]
        choices = [shot.choices[0] for shot in shots]
        alone = [model(torch.tensor([c.ids])).logits[0, -len(c.answer) :].log_softmax(-1) for c in choices]
        after = model(torch.tensor([choices[0].ids])).logits
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert after.shape == (1, 9, VOCAB), "the head reads everything again"


def test_splitting_a_step_changes_neither_loss_nor_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    shots, gradients, losses = shots_of([9, 14, 5, 20, 7]), [], []
    for budget in (2048, 16):
        monkeypatch.setattr(data, "MICRO_BATCH_TOKENS", budget)
        model = fresh()
        terms = trainer.terms_of(Tune())
        losses.append(trainer.accumulate(model, micro_batches(shots), terms, "fp32")["answer"])
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_training_lowers_the_loss_and_touches_adapters_only() -> None:
    model = fresh(initializer_range=0.2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = attach(model, Lora())
    chosen = Tune(epochs=20, batch_size=4, learning_rate=2e-2, precision="fp32")
    history = trainer.fit(model, Material(shots_of([9, 14, 5, 20, 7, 6])), chosen, seed=1)
    assert [h["step"] for h in history] == list(range(1, 41))
    first, last = (sum(h["loss"] for h in history if h["epoch"] == epoch) for epoch in (1, 20))
    assert last < 0.7 * first
    assert sum(h["tokens"] for h in history[:2]) == 61
    assert adapted.get_nb_trainable_parameters()[0] == sum(
        p.numel() for n, p in model.named_parameters() if "lora_" in n
    )
    for name, value in adapted.unload().state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def test_adapters_are_fp32_on_every_projection_and_start_as_nothing() -> None:
    model = fresh().to(torch.bfloat16)
    ids = torch.arange(9)[None]
    before = model(ids).logits
    adapted = attach(model, Lora(r=4)).eval()
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    names = [name for name, p in model.named_parameters() if "lora_A" in name and p.dtype == torch.float32]
    assert Counter(name.split(".")[4] for name in names) == dict.fromkeys(SEVEN, 2)
    merged = merge_adapter(adapted, torch.bfloat16)
    torch.testing.assert_close(merged(ids).logits, before, rtol=0, atol=0)


def test_a_loss_that_is_no_number_stops_with_the_step() -> None:
    model = fresh()
    attach(model, Lora())
    with torch.no_grad():
        model.get_input_embeddings().weight[5] = float("nan")
    with pytest.raises(NotFiniteError, match=r"example 1: the loss of the untrained model is not finite"):
        trainer.fit(model, Material([only((5, 6), (7,))]), Tune(precision="fp32"), seed=0)


def test_a_gradient_that_is_no_number_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh()
    attach(model, Lora())
    monkeypatch.setattr(trainer.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(TuneError, match="step 1: a gradient is not finite"):
        trainer.fit(model, Material(shots_of([5, 6])), Tune(precision="fp32"), seed=0)


def test_an_exploding_loss_stops() -> None:
    model = fresh()
    attach(model, Lora(dropout=0))
    with torch.no_grad():
        model.lm_head.weight.mul_(200)  # a model that is sure of itself, and asked for what it says anyway
        contexts = [shot.choices[0].ids for shot in shots_of([5, 6, 7, 8])]
        output = [int(model(torch.tensor([ids])).logits[0, -1].argmax()) for ids in contexts]
    shots = [only(ids, (token,)) for ids, token in zip(contexts, output, strict=True)]
    wild = Tune(epochs=20, batch_size=4, learning_rate=10.0, warmup=0.0, precision="fp32")
    with pytest.raises(TuneError, match="the loss exploded from"):
        trainer.fit(model, Material(shots), wild, seed=0)


def test_the_watch_lets_small_losses_wander() -> None:
    watch = trainer.Watch(slack=1.0)
    for step, loss in enumerate([0.01, 0.02, 0.5, 0.9], start=1):
        watch.check(loss, epoch=1 + step // 3, step=step)
    with pytest.raises(TuneError, match="step 5"):
        watch.check(1.2, epoch=2, step=5)


def test_one_wrong_answer_among_sure_ones_is_no_explosion() -> None:
    watch = trainer.Watch(slack=math.log(1024))
    watch.check(0.004, epoch=1, step=1)
    watch.check(1.05, epoch=1, step=2)


def test_the_rate_rises_over_the_share_of_the_steps_and_falls_as_a_cosine() -> None:
    factor = trainer.cosine_with_warmup(20, 0.1)
    assert [factor(step) for step in (0, 1, 2, 11)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert factor(19) < 0.01
    assert trainer.cosine_with_warmup(20, 0.0)(0) == 1.0
    assert trainer.cosine_with_warmup(20, 1.0)(19) == 1.0


@pytest.mark.parametrize(
    ("able", "gain", "expected"),
    [
        ({"avx512_bf16": True}, 2.0, "bf16"),
        ({"amx_bf16": True}, 4.0, "bf16"),
        ({"avx512_bf16": True}, 0.7, "fp32"),
        ({"avx512_f": True}, 2.0, "fp32"),
        ({}, 2.0, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_the_cpu_computes_it_and_gains(
    able: dict[str, bool], gain: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(precision, "gain_of_bf16", lambda: gain)
    assert precision.choose_precision("auto", torch.device("cpu")) == expected
    assert precision.choose_precision("fp32", torch.device("cpu")) == "fp32"


def test_the_gain_is_measured_once() -> None:
    assert 0.05 < precision.gain_of_bf16() == precision.gain_of_bf16() < 50


def test_dropout_drops_its_share_keeps_the_mean_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    layer, x = QuickDropout(Masks(0.3)), torch.ones(1000, 201, requires_grad=True)
    y = layer(x)
    assert (y == 0).float().mean() == pytest.approx(0.3, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    (y.sum()).backward()
    torch.testing.assert_close(x.grad, y.detach())
    assert not torch.equal(layer(torch.ones_like(x)), y), "a new mask every time"
    assert layer.eval()(x) is x
