"""Scores in, kept units out: LLM-Pruner's counts, and budgets in parameters."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailored_llama import families
from tailored_llama.errors import PlanError
from tailored_llama.families import Kept
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune.pools import Pool
from tailored_llama.stages.prune.select import select
from tailored_llama.stages.prune.surgery import config_after
from tests.support.pico import config_of

KINDS = ("heads", "mlp")


def pools_of(config: Any, seed: int = 0, kept: Kept | None = None, kinds: Any = KINDS) -> list[Pool]:
    draw = random.Random(seed)
    pools = []
    for group in families.groups(config):
        if group.kind not in kinds:
            continue
        alive = tuple((kept or {}).get(group.kind, {}).get(group.layer, range(group.units)))
        pools.append(Pool(group, alive, tuple(draw.random() for _ in alive)))
    return pools


def left(config: Any, kept: Kept) -> dict[str, list[int]]:
    return {
        kind: [
            len(kept.get(g.kind, {}).get(g.layer, range(g.units)))
            for g in families.groups(config)
            if g.kind == kind
        ]
        for kind in ("heads", "mlp")
    }


def parameters(config: Any, kept: Kept) -> int:
    return families.parameter_count(config_after(config, kept))


WIDE = config_of(1, num_key_value_heads=32, head_dim=4, intermediate_size=110, num_hidden_layers=2)


@pytest.mark.parametrize(
    ("ratio", "heads", "mlp"), [(0.25, 24, 82), (0.5, 16, 55), (0.6, 13, 44), (0.01, 32, 108), (0.999, 1, 1)]
)
def test_units_are_counted_as_llm_pruner_counts(ratio: float, heads: int, mlp: int) -> None:
    kept = select(pools_of(WIDE), Prune(ratio=ratio, of="units"), ratio, None)
    assert left(WIDE, kept) == {"heads": [heads] * 2, "mlp": [mlp] * 2}


def test_the_least_go_and_the_earlier_of_equals() -> None:
    group = next(g for g in families.groups(config_of(intermediate_size=4)) if g.kind == "mlp")
    pool = Pool(group, (0, 1, 2, 3), (2.0, 1.0, 1.0, 3.0))
    assert select([pool], Prune(ratio=0.25, of="units"), 0.25, None) == {"mlp": {0: [0, 2, 3]}}
    assert select([pool], Prune(ratio=0.5, of="units"), 0.5, None) == {"mlp": {0: [0, 3]}}


def test_steps_share_the_way() -> None:
    setting = Prune(ratio=0.5, of="units", steps=2)
    first = select(pools_of(WIDE), setting, 0.25, None)
    assert left(WIDE, first) == {"heads": [24] * 2, "mlp": [82] * 2}
    second = select(pools_of(WIDE, seed=1, kept=first), setting, 0.5, None)
    assert left(WIDE, second) == {"heads": [16] * 2, "mlp": [55] * 2}
    assert set(second["mlp"][0]) < set(first["mlp"][0])


def test_global_threshold_and_the_group_that_would_be_empty() -> None:
    config = config_of(num_hidden_layers=1, intermediate_size=4)
    heads, mlp = (g for g in families.groups(config) if g.kind in KINDS)
    high = Pool(heads, (0, 1), (5.0, 6.0))
    low = Pool(mlp, (0, 1, 2, 3), (1.0, 2.0, 3.0, 5.5))
    setting = Prune(ratio=0.5, of="units", allocate="global")
    assert select([high, low], setting, 0.5, None) == {"mlp": {0: [3]}}
    # Four of six go; all four channels are the least, so they stay and so does everything else.
    low = Pool(mlp, (0, 1, 2, 3), (1.0, 2.0, 3.0, 4.0))
    assert select([high, low], Prune(ratio=0.6, of="units", allocate="global"), 0.6, None) == {}


BUDGETS = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(2, 6),
        "num_key_value_heads": st.integers(1, 8),
        "queries": st.integers(1, 3),
        "head_dim": st.sampled_from([4, 8]),
        "intermediate_size": st.integers(100, 400),
        "attention_bias": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    shape=BUDGETS,
    ratio=st.floats(0.05, 0.6),
    allocate=st.sampled_from(["uniform", "global"]),
    seed=st.integers(0, 9),
    steps=st.integers(1, 3),
)
def test_budget_in_parameters_is_met(
    shape: dict[str, Any], ratio: float, allocate: Any, seed: int, steps: int
) -> None:
    config = config_of(**shape)
    total = families.parameter_count(config)
    setting = Prune(ratio=ratio, allocate=allocate, steps=steps)
    kept: Kept = {}
    for step in range(1, steps + 1):
        before, kept = (
            kept,
            select(
                pools_of(config, seed + step, kept),
                setting,
                ratio * step / steps,
                families.parameter_sizes(config),
            ),
        )
        for kind, layers in before.items():
            assert all(set(kept[kind][layer]) <= set(units) for layer, units in layers.items())
    gone = total - parameters(config, kept)
    channel = 3 * config.hidden_size  # nothing finer can go: the smallest of these models are that coarse
    assert abs(gone - ratio * total) <= max(0.005 * min(ratio, 1 - ratio) * total, channel / 2)
    assert all(units and units == sorted(units) for layers in kept.values() for units in layers.values())


def test_uniform_leaves_all_layers_alike_where_that_is_close() -> None:
    kept = select(pools_of(WIDE), Prune(ratio=0.5), 0.5, families.parameter_sizes(WIDE))
    widths = left(WIDE, kept)
    assert len(set(widths["heads"])) == len(set(widths["mlp"])) == 1
    # Heads and channels give about the same share: half of everything, and a bit for the embeddings.
    assert widths["heads"][0] / 32 == pytest.approx(widths["mlp"][0] / 110, abs=0.03)


def test_global_prefers_what_costs_least_per_parameter() -> None:
    config = config_of(num_hidden_layers=1)
    heads, mlp = (g for g in families.groups(config) if g.kind in KINDS)
    cheap = Pool(heads, (0, 1), (1.0, 1.0))  # dear by the unit, cheap by the parameter
    channels = Pool(mlp, tuple(range(24)), tuple([0.9] * 24))
    assert heads.parameters > 1.2 * mlp.parameters
    ratio = heads.parameters / families.parameter_count(config)
    kept = select(
        [cheap, channels], Prune(ratio=ratio, allocate="global"), ratio, families.parameter_sizes(config)
    )
    assert kept == {"heads": {0: [1]}}


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("of", ["params", "units"])
def test_widths_are_multiples_of_align(of: Any, allocate: Any) -> None:
    config = config_of(1, num_key_value_heads=8, head_dim=4, intermediate_size=172, num_hidden_layers=4)
    total = families.parameter_count(config)
    sizes = families.parameter_sizes(config) if of == "params" else None
    kept = select(pools_of(config), Prune(ratio=0.3, of=of, allocate=allocate, align=8), 0.3, sizes)
    widths = left(config, kept)
    assert all(n % 8 == 0 and n > 0 for n in widths["mlp"])
    assert all(n * 4 % 8 == 0 and n > 0 for n in widths["heads"])
    if of == "params":
        assert (total - parameters(config, kept)) / total == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("units", [("heads",), ("mlp",)])
def test_one_kind_alone(units: Any, allocate: Any) -> None:
    config = config_of(1, num_key_value_heads=8, head_dim=4, intermediate_size=100, num_hidden_layers=4)
    total = families.parameter_count(config)
    chosen = [pool for pool in pools_of(config) if pool.group.kind in units]
    kept = select(
        chosen, Prune(ratio=0.2, units=units, allocate=allocate), 0.2, families.parameter_sizes(config)
    )
    assert set(kept) == set(units)
    one = max(pool.group.parameters for pool in chosen)
    assert abs(total - parameters(config, kept) - 0.2 * total) <= one


@pytest.mark.parametrize("allocate", ["uniform", "global"])
def test_a_budget_out_of_reach_says_what_is(allocate: Any) -> None:
    config = config_of(num_hidden_layers=8)
    few = [pool for pool in pools_of(config) if pool.group.layer in (2, 3)]
    with pytest.raises(PlanError, match=r"ratio: 0\.9 .* out of reach.*\(ratio 0\.1") as error:
        select(few, Prune(ratio=0.9, layers=(2, 4), allocate=allocate), 0.9, families.parameter_sizes(config))
    reach = float(str(error.value).split("(ratio ")[1].split(")")[0])
    select(few, Prune(ratio=reach, layers=(2, 4), allocate=allocate), reach, families.parameter_sizes(config))


def test_align_that_leaves_nothing() -> None:
    with pytest.raises(PlanError, match="align: 32 is more than the 24 MLP channels of layer 0"):
        select(pools_of(config_of()), Prune(align=32), 0.5, None)


def test_what_is_compared_globally() -> None:
    """Magnitudes and activations by block, what estimates the loss as it is; units as LLM-Pruner does."""
    config = config_of(num_hidden_layers=2, intermediate_size=100)
    pools, sizes = pools_of(config), families.parameter_sizes(config)
    # One layer's scores are of a scale of their own.
    pools = [replace(p, scores=tuple(100 * s for s in p.scores)) if p.group.layer else p for p in pools]

    def kept(criterion: Any, normalise: Any, of: Any = "params") -> Kept:
        requested = Prune(ratio=0.3, allocate="global", criterion=criterion, normalise=normalise, of=of)
        return select(pools, requested, 0.3, None if of == "units" else sizes)

    for criterion, how in (("l2", "block"), ("wanda", "block"), ("taylor", "none"), ("random", "none")):
        assert kept(criterion, "auto") == kept(criterion, how)
        assert kept(criterion, "auto", "units") == kept(criterion, "none", "units")
    assert kept("taylor", "none") != kept("taylor", "kind") != kept("taylor", "block")
    by_layer = [len(units) for units in kept("taylor", "block")["mlp"].values()]
    assert len(by_layer) == 2
    assert abs(by_layer[0] - by_layer[1]) < 30
    raw = [len(units) for units in kept("taylor", "none")["mlp"].values()]
    assert raw[1] > 1.5 * raw[0]
