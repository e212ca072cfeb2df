"""Scores of whole layers: block influence against hooks, other criteria summed over the layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tailored_llama.checkpoint import ModelWeights
from tailored_llama.errors import PlanError
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune import walk as walk_module
from tailored_llama.stages.prune.scores import channel_scores, layer_scores
from tests.support.pico import config_of, model_of, pico_config, tokens_of


def streams(model: Any, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What goes into and comes out of every layer."""
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(tokens)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("case", ["llama", "phi3", "gemma2"])
def test_block_influence_written_out(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(pico_config(case))
    tokens = tokens_of(model.config, samples=5)
    monkeypatch.setattr(walk_module, "TOKENS_AT_ONCE", 2 * tokens.shape[1])
    found = layer_scores(ModelWeights(model), Prune(criterion="block_influence"), tokens, seed=0)
    expected = {
        layer: 1 - float(((x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1))).mean())
        for layer, (x, y) in enumerate(streams(model, tokens))
    }
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_layer_that_does_nothing_has_no_influence() -> None:
    model = model_of(config_of())
    with torch.no_grad():
        for linear in (model.model.layers[1].self_attn.o_proj, model.model.layers[1].mlp.down_proj):
            linear.weight.zero_()
    settings = Prune(criterion="block_influence", layers=(1, 3))
    found = layer_scores(ModelWeights(model), settings, tokens_of(model.config), seed=0)
    assert set(found) == {1, 2}
    assert found[1] == pytest.approx(0, abs=1e-6)
    assert found[2] > 1e-3


@pytest.mark.parametrize("criterion", ["l1", "taylor", "taylor_vector", "taylor_mix", "wanda", "fluctuation"])
def test_other_criteria_are_summed_over_the_layer(criterion: str) -> None:
    model = model_of(config_of())
    tokens = tokens_of(model.config)
    settings = Prune(criterion=criterion, layers=(0, 2))
    found = layer_scores(ModelWeights(model), settings, tokens, seed=0)
    by_unit = channel_scores(ModelWeights(model), settings, tokens, seed=0)
    # Magnitudes are averaged over the members of a unit: 4 of a head, 3 of an MLP channel.
    members = {"heads": 4, "mlp": 3} if criterion == "l1" else {"heads": 1, "mlp": 1}
    expected = dict.fromkeys((0, 1), 0.0)
    for (kind, layer), scores in by_unit.items():
        expected[layer] += members[kind] * float(scores.sum())
    assert found == pytest.approx(expected, rel=1e-5)


def test_random_layers_are_drawn_by_the_seed() -> None:
    weights = ModelWeights(model_of(config_of()))
    one, again, other = (
        layer_scores(weights, Prune(criterion="random"), None, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again != other


def test_block_influence_is_of_whole_layers() -> None:
    model = model_of(config_of())
    with pytest.raises(PlanError, match="block_influence scores whole layers, not heads and mlp"):
        channel_scores(
            ModelWeights(model), Prune(criterion="block_influence"), tokens_of(model.config), seed=0
        )
