"""Each criterion against its formula written out on a whole-model backward, and the reductions."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from tailored_llama import plugins
from tailored_llama.checkpoint import ModelWeights
from tailored_llama.errors import CheckpointError
from tailored_llama.families import Group, Slice
from tailored_llama.recipe import Prune, Reduce
from tailored_llama.stages.prune import scores as measure
from tailored_llama.stages.prune.criterion import known_criteria
from tailored_llama.stages.prune.reduce import over_members
from tailored_llama.stages.prune.scores import channel_scores
from tests.support.double import InDouble, close
from tests.support.pico import config_of, model_of, tokens_of

FORMULAS: dict[str, Any] = {
    "l1": lambda w, g, a: w.abs().sum(1),
    "l2": lambda w, g, a: (w**2).sum(1),
    "taylor": lambda w, g, a: (w * g).abs().sum(1),
    "taylor_vector": lambda w, g, a: (w * g).sum(1).abs(),
    "taylor_second": lambda w, g, a: (w * a * w).abs().sum(1),
    "taylor_mix": lambda w, g, a: (w * g - 0.5 * w * a * w).abs().sum(1),
}
MEMBERS = {
    "heads": ["self_attn.q_proj", "self_attn.o_proj", "self_attn.v_proj", "self_attn.k_proj"],
    "mlp": ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
}


def named(module: str) -> str:
    return f"model.layers.1.{module}.weight"


def gradients(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    """{name: gradient} of all projections of layer 1, by one backward pass."""
    names = [named(module) for modules in MEMBERS.values() for module in modules]
    loss = model(input_ids=tokens, labels=tokens).loss
    found = torch.autograd.grad(loss, [model.get_parameter(name) for name in names])
    return dict(zip(names, found, strict=True))


def by_hand(
    model: Any, batch: dict[str, Tensor], each: list[dict[str, Tensor]], criterion: str, module: str,
    queries: int,
) -> Tensor:  # fmt: skip
    """[units, head_dim] of one projection of layer 1: rows of q, k, v, gate, up; columns of o and down.

    From the gradients of the batch's loss, and of the loss of each sample.
    """
    name = named(module)
    weight, gradient = model.get_parameter(name).detach(), batch[name]
    squares = torch.stack([own[name] ** 2 for own in each]).mean(0)
    if module.endswith(("o_proj", "down_proj")):
        weight, gradient, squares = weight.T, gradient.T, squares.T
    scores = FORMULAS[criterion](weight, gradient, squares)
    if "mlp" in module:
        return scores[:, None]
    heads = scores.view(-1, 8)
    return heads.view(-1, queries, 8).sum(1) if module.endswith(("q_proj", "o_proj")) else heads


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("criterion", list(FORMULAS))
@InDouble()
def test_formula(criterion: str, queries: int) -> None:
    model = model_of(config_of(queries, num_hidden_layers=2)).double()
    tokens = tokens_of(model.config)
    batch, own = gradients(model, tokens), [gradients(model, row[None]) for row in tokens]
    scores = channel_scores(
        ModelWeights(model), Prune(criterion=criterion, reduce="max", layers=(1, 2)), tokens, seed=0
    )
    assert set(scores) == {("heads", 1), ("mlp", 1)}
    for (kind, _), found in scores.items():
        each = torch.stack([by_hand(model, batch, own, criterion, m, queries) for m in MEMBERS[kind]])
        # Magnitudes average their members whatever the recipe says.
        expected = each.mean(0) if criterion in ("l1", "l2") else each.amax(0)
        close(found, expected)


def test_members_that_share_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in fused projections: each slice is scored on its own rows."""
    weights = ModelWeights(model_of(config_of()))
    name = "model.layers.0.mlp.up_proj.weight"
    fused = Group("mlp", 0, 10, (Slice(name, 0, 1), Slice(name, 0, 1, offset=10)), 1, 0)
    monkeypatch.setattr(measure, "groups", lambda config: [fused])
    found = channel_scores(weights, Prune(criterion="l1"), None, seed=0)["mlp", 0][:, 0]
    rows = weights.tensor(name).abs().sum(1)
    torch.testing.assert_close(found, (rows[:10] + rows[10:20]) / 2)


@pytest.mark.parametrize("how", get_args(Reduce))
def test_reductions(how: Reduce) -> None:
    q, o, v = (torch.tensor([[a, 2.0]]) for a in (1.0, 3.0, 8.0))
    expected = {"sum": 12.0, "mean": 4.0, "max": 8.0, "prod": 24.0, "first": 1.0, "second": 3.0}
    assert over_members([q, o, v], how)[0, 0].item() == expected[how]


def test_random_is_drawn_by_seed_and_looks_at_no_weight() -> None:
    config = config_of()
    settings = Prune(criterion="random")
    first, again, other = (
        channel_scores(ModelWeights(model_of(config, seed)), settings, None, seed=draw)
        for seed, draw in ((0, 1), (1, 1), (0, 2))
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)
    # Two layers do not get the same draw.
    assert not torch.equal(first["mlp", 0], first["mlp", 1])


def test_magnitudes_need_no_text_and_do_not_run_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "Walk", None)
    model = model_of(config_of())
    assert len(channel_scores(ModelWeights(model), Prune(criterion="l1"), None, seed=0)) == 6


def test_a_gradient_that_overflows_names_its_tensor() -> None:
    model = model_of(config_of())
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight.mul_(1e38)
    with pytest.raises(CheckpointError, match=r"model\.layers\.\d\..*taylor score is not finite"):
        channel_scores(ModelWeights(model), Prune(), tokens_of(model.config), seed=0)


def test_a_score_that_is_no_number_names_its_tensor() -> None:
    model = model_of(config_of())
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[0, 0] = torch.inf
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\.mlp\.up_proj\.weight.*l2"):
        channel_scores(ModelWeights(model), Prune(criterion="l2"), None, seed=0)


def test_every_criterion_of_the_recipe_is_there_with_its_source() -> None:
    assert {c.name for c in known_criteria()} == set(plugins.names(plugins.CRITERIA))
    assert all(c.reference for c in known_criteria())
    assert all(sum(form is not None for form in (c.matrix, c.group, c.layer)) == 1 for c in known_criteria())
