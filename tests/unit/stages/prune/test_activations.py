"""The criteria from activations, against hooks on the whole model and formulas written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tailored_llama.checkpoint import ModelWeights
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune import make_plan
from tailored_llama.stages.prune import walk as walk_module
from tailored_llama.stages.prune.reduce import over_channels
from tailored_llama.stages.prune.scores import ChannelScores, channel_scores
from tests.support.pico import config_of, model_of, pico_config, tokens_of

HEAD = 8


def inputs_of(model: Any, tokens: Tensor, layer: int, module: str) -> Tensor:
    """What a linear of a layer multiplies, [samples, length, features]."""
    seen: list[Tensor] = []
    linear = model.get_submodule(f"model.layers.{layer}.{module}")
    hook = linear.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    return seen[0]


def weight_of(model: Any, layer: int, module: str) -> Tensor:
    found: Tensor = model.get_parameter(f"model.layers.{layer}.{module}.weight").detach()
    return found


def found_scores(model: Any, tokens: Tensor, criterion: str, **more: Any) -> ChannelScores:
    return channel_scores(ModelWeights(model), Prune(criterion=criterion, **more), tokens, seed=0)


def wanda(model: Any, tokens: Tensor, layer: int) -> dict[str, Tensor]:
    def each(module: str) -> Tensor:
        inputs = inputs_of(model, tokens, layer, module).flatten(0, 1)
        return weight_of(model, layer, module).abs() * inputs.square().sum(0).sqrt()

    at = "self_attn."
    heads = each(at + "o_proj").sum(0).view(2, 2 * HEAD).sum(1)
    heads += each(at + "q_proj").sum(1).view(2, 2 * HEAD).sum(1)
    heads += each(at + "k_proj").sum(1).view(2, HEAD).sum(1) + each(at + "v_proj").sum(1).view(2, HEAD).sum(1)
    mlp = each("mlp.gate_proj").sum(1) + each("mlp.up_proj").sum(1) + each("mlp.down_proj").sum(0)
    return {"heads": heads, "mlp": mlp}


def fluctuation(model: Any, tokens: Tensor, layer: int) -> dict[str, Tensor]:
    def each(module: str) -> Tensor:
        inputs = inputs_of(model, tokens, layer, module).flatten(0, 1)
        return inputs.var(dim=0) * weight_of(model, layer, module).square().sum(dim=0)

    return {"heads": each("self_attn.o_proj").view(2, 2 * HEAD).sum(1), "mlp": each("mlp.down_proj")}


def activation(model: Any, tokens: Tensor, layer: int) -> dict[str, Tensor]:
    heads = inputs_of(model, tokens, layer, "self_attn.o_proj").unflatten(2, (4, HEAD)).norm(dim=3)
    heads = heads.mean(dim=1).square().sum(dim=0).sqrt()
    mlp = inputs_of(model, tokens, layer, "mlp.down_proj").abs().mean(dim=1).square().sum(dim=0).sqrt()
    return {"heads": heads.view(2, 2).sum(1), "mlp": mlp}


FORMULAS: dict[str, Callable[[Any, Tensor, int], dict[str, Tensor]]] = {
    "wanda": wanda, "fluctuation": fluctuation, "activation": activation,
}  # fmt: skip


@pytest.mark.parametrize("criterion", list(FORMULAS))
def test_formula(criterion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(config_of())
    tokens = tokens_of(model.config, samples=5)
    monkeypatch.setattr(walk_module, "TOKENS_AT_ONCE", 2 * tokens.shape[1])  # batches of 2, 2 and 1
    scores = found_scores(model, tokens, criterion, layers=(0, 2))
    assert set(scores) == {(kind, layer) for kind in ("heads", "mlp") for layer in (0, 1)}
    for (kind, layer), found in scores.items():
        expected = FORMULAS[criterion](model, tokens, layer)[kind]
        torch.testing.assert_close(over_channels(found), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("criterion", ["fluctuation", "activation"])
def test_only_what_units_give_out_counts(criterion: str) -> None:
    """There is one member: no reduction can change it."""
    model = model_of(config_of())
    first, second = (
        found_scores(model, tokens_of(model.config), criterion, reduce=reduce) for reduce in ("sum", "second")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_activation_looks_at_no_weight_behind_the_unit() -> None:
    one, other = model_of(config_of(num_hidden_layers=1)), model_of(config_of(num_hidden_layers=1))
    with torch.no_grad():
        other.model.layers[0].mlp.down_proj.weight.mul_(3)
    tokens = tokens_of(one.config)
    assert torch.equal(
        found_scores(one, tokens, "activation")["mlp", 0], found_scores(other, tokens, "activation")["mlp", 0]
    )
    torch.testing.assert_close(
        found_scores(one, tokens, "fluctuation")["mlp", 0] * 9,
        found_scores(other, tokens, "fluctuation")["mlp", 0],
    )


@pytest.mark.parametrize("criterion", list(FORMULAS))
@pytest.mark.parametrize("case", ["phi3", "gemma3_text", "qwen2"])
def test_other_families(criterion: str, case: str) -> None:
    """Fused matrices share their inputs; their rows are scored apart."""
    model = model_of(pico_config(case))
    scores = found_scores(model, tokens_of(model.config), criterion)
    assert {key: tuple(found.shape) for key, found in scores.items() if key[1] == 0} == {
        ("heads", 0): (3, 8), ("mlp", 0): (20, 1),
    }  # fmt: skip
    assert all((found > 0).all() for found in scores.values())


@pytest.mark.parametrize("criterion", list(FORMULAS))
def test_a_dead_channel_goes_first(criterion: str) -> None:
    model = model_of(config_of())
    with torch.no_grad():
        for linear in (model.model.layers[1].mlp.gate_proj, model.model.layers[1].mlp.up_proj):
            linear.weight[5] = 0
        model.model.layers[1].mlp.down_proj.weight[:, 5] = 0
    plan = make_plan(
        model,
        tokens=tokens_of(model.config),
        criterion=criterion,
        of="units",
        ratio=0.05,
        units=["mlp"],
        steps=2,
    )
    assert 5 not in plan.kept["mlp"][1]
