"""The fused LoRA layer is peft's: outputs, gradients, and nothing left behind."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tailored_llama.recipe import Lora
from tailored_llama.training.cpu_kernels import dropout
from tailored_llama.training.cpu_kernels.lora_product import fused
from tailored_llama.training.lora import attach
from tests.support.pico import fresh


def adapted(lora: dict[str, Any]) -> Any:
    model = fresh(initializer_range=0.2, attention_bias=True)
    attach(model, Lora(**lora))
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1)
    return model.train()


def step(model: Any, *, bf16: bool = False) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(torch.arange(24).view(2, 12)).logits.float()
    (logits.log_softmax(-1)[..., 7].sum() / 24).backward()
    return logits.detach(), [p.grad for p in model.parameters() if p.requires_grad]


def off(one: tuple[Tensor, list[Tensor]], other: tuple[Tensor, list[Tensor]]) -> float:
    """Distance of gradients."""
    return float(sum((a - b).square().sum() for a, b in zip(one[1], other[1], strict=True)) ** 0.5)


@pytest.mark.parametrize(
    "lora", [{"dropout": 0.0}, {"dropout": 0.3}, {"dropout": 0.3, "rslora": True, "r": 3}]
)
@pytest.mark.parametrize("bf16", [False, True])
def test_it_computes_what_peft_does(lora: dict[str, Any], bf16: bool) -> None:
    theirs, ours = adapted(lora), adapted(lora)
    expected = step(theirs, bf16=bf16)
    with fused(ours):
        assert sum("forward" in vars(module) for module in ours.modules()) == 14
        found = step(ours, bf16=bf16)
    if bf16:  # rounded in other places, and not worse
        exact = step(adapted(lora))
        assert off(found, exact) < 1.3 * off(expected, exact)
    else:
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not any("forward" in vars(module) for module in ours.modules())


def test_what_it_does_not_know_it_leaves_alone() -> None:
    model = adapted({"dora": True})
    with fused(model):
        assert not any("forward" in vars(module) for module in model.modules())


def test_the_base_is_not_trained_and_copies_are_their_own() -> None:
    model = adapted({"dropout": 0.0})
    with fused(model):
        step(model)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other(torch.arange(4)[None]).logits.abs().max() == 0
    assert model(torch.arange(4)[None]).logits.abs().max() > 0


def test_what_reads_the_same_drops_the_same_of_it() -> None:
    torch.manual_seed(0)
    masks = dropout.Masks(0.5)
    x, other = torch.ones(2, 50, 8), torch.ones(2, 50, 8)
    rows = x.view(100, 8)
    dropped, kept = masks.apply(x, rows)
    again, same = masks.apply(x, x.view(100, 8))
    assert again is dropped
    assert same is kept
    assert torch.equal(dropped, kept)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert masks.kept(x, rows.to(torch.bfloat16)).dtype == torch.bfloat16
    assert not torch.equal(masks.kept(other, other), kept.view(2, 50, 8)), "another tensor, another mask"
    torch.manual_seed(0)
    assert torch.equal(dropout.Masks(0.5).kept(x, rows), kept), "torch's generator decides"
