"""Every kind of units in every family: planned, cut, written, read back, and as the masked model computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailored_llama import checkpoint, families
from tailored_llama.errors import FamilyError, PlanError
from tailored_llama.families import MODEL
from tailored_llama.recipe import Prune
from tailored_llama.reporting import pictures
from tailored_llama.reporting.read import read_run
from tailored_llama.results import Results
from tailored_llama.stages.prune import CutWeights, Plan, make_plan, make_plans, prune
from tailored_llama.stages.prune.scores import channel_scores
from tailored_llama.stages.prune.surgery import config_after
from tests.support.double import InDouble, close
from tests.support.masking import masked
from tests.support.pico import DISTINCT, config_of, family_of, model_of, pico_config, tokens_of, weights_of
from tests.support.results import row

KINDS: list[Any] = ["heads", "query_heads", "mlp", "hidden", "layers"]
TOKENS = tokens_of(pico_config("llama"), length=9)


def logits(model: Any) -> torch.Tensor:
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


APART = ["llama", "qwen2 with windows", "phi3, long", "gemma3_text"]
"""Families in which each kind is also cut alone."""


@pytest.mark.parametrize(
    ("case", "kinds"),
    [*((case, KINDS) for case in DISTINCT), *((case, [kind]) for case in APART for kind in KINDS)],
    ids=str,
)
@InDouble()
def test_every_kind_in_every_family(case: str, kinds: list[Any], tmp_path: Path) -> None:
    model = model_of(pico_config(case)).double()
    plan = make_plan(model, ratio=0.5, of="units", units=tuple(kinds), criterion="random", seed=1)
    assert set(plan.kept) == {*kinds}
    again = Plan.from_json(plan.to_json())
    assert again == plan
    again.check(model.config, "the pico", None)
    cut = CutWeights(checkpoint.ModelWeights(model), plan.kept)
    checkpoint.write_checkpoint(cut, tmp_path / "cut")
    read = checkpoint.open_weights(tmp_path / "cut")
    # Layers are all alike, so the form is plain; but see the family table of phi3.
    odd = case == "phi3, long" and not {*kinds} <= {"mlp", "layers"}
    assert read.config.model_type.startswith("shaped_") == odd
    assert families.parameter_count(read.config) == plan.params["after"]
    loaded = checkpoint.load_model(tmp_path / "cut")
    generated = loaded.generate(TOKENS[:1], max_new_tokens=2, pad_token_id=0)
    assert generated.shape[1] > TOKENS.shape[1]
    close(logits(loaded), logits(masked(model, plan.kept)))


@pytest.mark.parametrize("case", ["qwen2 with windows", "gemma2", "gemma3_text"])
def test_what_is_listed_by_layer_goes_with_the_layer(case: str) -> None:
    config = pico_config(case)
    kept: Any = {"layers": {MODEL: [0, 2]}}
    assert config_after(config, kept).layer_types == [config.layer_types[0], config.layer_types[2]]
    assert config_after(config, {**kept, "mlp": {2: [1]}}).layer_types == [
        config.layer_types[0],
        config.layer_types[2],
    ]


def test_query_heads_stay_evenly() -> None:
    config = config_of(4, num_key_value_heads=3, head_dim=4)
    model = prune(
        model_of(config), ratio=0.5, of="units", units=("heads", "query_heads"), tokens=tokens_of(config)
    )
    assert families.widths(model.config) == [families.LayerWidths(4, 2, 24)] * 3
    plan = make_plan(model_of(config), ratio=0.25, of="units", units=("query_heads",), criterion="l1")
    for units in plan.kept["query_heads"].values():
        assert [sum(unit // 4 == head for unit in units) for head in range(3)] == [3, 3, 3]
    uneven = Plan(plan.source, {"query_heads": {0: [0, 1, 2, 4, 5, 8]}}, {}, {})
    with pytest.raises(PlanError, match=r"query_heads of layer 0 .* the same number"):
        uneven.check(config, "it", None)
    fine = Plan(plan.source, {"heads": {0: [0, 1]}, "query_heads": {0: [0, 1, 4, 5]}}, {}, {})
    fine.check(config, "it", None)


MIXES = st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique=True)


@settings(max_examples=24, deadline=None)
@given(
    units=MIXES,
    ratio=st.floats(0.1, 0.6),
    of=st.sampled_from(["params", "macs", "bytes"]),
    allocate=st.sampled_from(["uniform", "global"]),
    seed=st.integers(0, 5),
    steps=st.integers(1, 2),
)
def test_one_budget_for_any_mixture(
    units: Any, ratio: float, of: Any, allocate: Any, seed: int, steps: int
) -> None:
    config = config_of(3, num_key_value_heads=4, head_dim=4, intermediate_size=200, num_hidden_layers=5)
    model = weights_of(config)
    try:
        plan = make_plan(
            model.model, ratio=ratio, of=of, units=tuple(units), allocate=allocate, criterion="random",
            seed=seed, steps=steps, normalise="kind",
        )  # fmt: skip
    except PlanError as error:
        assert "out of reach" in str(error)  # noqa: PT017
        return
    size = families.mac_count if of == "macs" else families.parameter_count
    after = config_after(config, plan.kept)
    cut = checkpoint.load_model(CutWeights(model, plan.kept))
    assert families.parameter_count(after) == sum(p.numel() for p in cut.parameters()) == plan.params["after"]
    if {*units} & {"mlp", "hidden"} and (steps == 1 or allocate == "uniform"):
        # The finest step: one channel. A layer that is all that is left to go is coarser.
        assert size(after) / size(config) == pytest.approx(1 - ratio, abs=0.02)


def test_layers_by_block_influence_and_by_their_units() -> None:
    config = config_of(num_hidden_layers=5)
    model = model_of(config)
    for name, parameter in model.named_parameters():
        if "layers.2." in name and ("o_proj" in name or "down_proj" in name):
            parameter.data.mul_(1e-3)
    for criterion in ("block_influence", "taylor", "l1"):
        plan = make_plan(
            model, ratio=0.2, of="units", units=("layers",), criterion=criterion, tokens=tokens_of(config)
        )
        assert plan.kept == {"layers": {MODEL: [0, 1, 3, 4]}}, criterion
    plan = make_plan(model, ratio=0.34, of="units", units=("layers",), layers=(3, 5), criterion="l1", steps=2)
    assert plan.kept["layers"][MODEL] in ([0, 1, 2, 3], [0, 1, 2, 4])


@pytest.mark.parametrize("allocate", ["uniform", "global"])
def test_a_trajectory_is_nested_and_each_plan_that_of_its_own_run(allocate: Any, tmp_path: Path) -> None:
    config = config_of(num_key_value_heads=4, head_dim=4, intermediate_size=120)
    model, tokens = model_of(config), tokens_of(config)
    plans = make_plans(
        model, ratio=0.4, steps=4, trajectory=(0.1, 0.2, 0.25), allocate=allocate, tokens=tokens
    )
    assert list(plans) == [0.1, 0.2, 0.25, 0.4]
    for smaller, larger in zip(list(plans.values())[1:], plans.values(), strict=False):
        for kind, groups in larger.kept.items():
            assert all({*smaller.kept[kind][layer]} <= {*units} for layer, units in groups.items())
    alone = make_plan(model, ratio=0.2, steps=2, allocate=allocate, tokens=tokens)
    assert alone.kept == plans[0.2].kept
    for ratio, plan in plans.items():
        assert 1 - plan.params["after"] / plan.params["before"] == pytest.approx(ratio, abs=0.01)
        assert plan.settings["ratio"] == ratio


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("of", ["params", "units"])
def test_a_floor_in_each_layer(allocate: Any, of: Any) -> None:
    config = config_of(1, num_key_value_heads=8, head_dim=4, intermediate_size=100)
    model = model_of(config)
    for floor in (0.5, 4):
        plan = make_plan(
            model, ratio=0.35, of=of, allocate=allocate, floor=floor, criterion="random", normalise="kind"
        )
        for width in families.widths(config_after(config, plan.kept)):
            assert width.kv_heads >= 4
            assert width.mlp >= (50 if floor == 0.5 else 4)


def test_units_that_are_not_there() -> None:
    config = config_of(1)
    with pytest.raises(FamilyError, match=r"no query_heads .*one query head: use heads.*heads, mlp, hidden"):
        make_plan(model_of(config), units=("query_heads",), criterion="l1", ratio=0.1)
    assert family_of("llama") == "llama"


def test_the_page_of_a_model_with_fewer_layers(tmp_path: Path) -> None:
    """What is drawn of a layer that is gone is nothing, in its own place."""
    config = config_of(num_hidden_layers=4)
    model_of(config).save_pretrained(tmp_path / "dense")
    out = tmp_path / "run" / "prune"
    prune(tmp_path / "dense", out=out, ratio=0.4, units=("layers", "mlp"), criterion="random")
    (tmp_path / "run" / "results.json").write_text(
        json.dumps(Results(rows=[row("dense", {"boolq": 0.5})]).to_json())
    )
    run = read_run(tmp_path / "run")
    assert run.widths is not None
    assert run.plan is not None
    before, after = run.widths
    kept = run.plan["kept"]["layers"]
    assert len(before) == len(after) == 4
    assert [width.heads > 0 for width in after] == [layer in kept for layer in range(4)]
    assert "layer" in pictures.widths(before, after)


@pytest.mark.parametrize("case", ["llama 3, tied", "qwen2", "phi3", "gemma2", "gemma3_text"])
@InDouble()
def test_scores_of_residual_channels_written_out(case: str) -> None:
    """Every number that a channel owns, times its gradient; in Gemma's norms the number is one more."""
    model = model_of(pico_config(case)).double()
    d, tokens = model.config.hidden_size, tokens_of(model.config, length=9)
    model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    expected = torch.zeros(d, dtype=torch.float64)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "q_norm" in name or "k_norm" in name:
            continue
        norm, writes = parameter.ndim == 1, name.endswith(("o_proj.weight", "down_proj.weight"))
        product = (parameter + (1 if norm and case.startswith("gemma") else 0)) * parameter.grad
        expected += product.abs() if norm else product.abs().sum(dim=1 if writes else 0)
    weights = checkpoint.ModelWeights(model)
    found = channel_scores(weights, Prune(units=("hidden",)), tokens, 0)["hidden", MODEL].flatten()
    expected = expected.detach()
    close(found, expected)
