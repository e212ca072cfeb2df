"""`alike`: every layer keeps the same number of each kind, so that the plain form results."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from transformers import PreTrainedModel

from tailored_llama import families
from tailored_llama.errors import PlanError
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune import make_plan, prune
from tailored_llama.stages.prune.surgery import config_after
from tests.support.pico import config_of, model_of, tokens_of, weights_of

WIDE = config_of(2, num_key_value_heads=8, head_dim=4, intermediate_size=172, num_hidden_layers=4)


def size(config: Any, of: str) -> int:
    return families.mac_count(config) if of == "macs" else families.parameter_count(config)


@cache
def wide() -> PreTrainedModel:
    """One model for the plans, which leave it as it is."""
    return model_of(WIDE)


@pytest.mark.parametrize("of", ["params", "macs", "bytes"])
@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("normalise", ["none", "kind", "block"])
@pytest.mark.parametrize("more", [(), ("query_heads",), ("layers",)])
def test_all_layers_are_alike_and_the_budget_is_met(
    of: Any, allocate: Any, normalise: Any, more: Any
) -> None:
    plan = make_plan(
        wide(), ratio=0.4, of=of, allocate=allocate, normalise=normalise, alike=True,
        criterion="random", units=("heads", "mlp", *more),
    )  # fmt: skip
    after = config_after(WIDE, plan.kept)
    assert after.model_type in ("llama", "mistral")
    assert len(set(families.widths(after))) == 1
    assert size(after, of) / size(WIDE, of) == pytest.approx(0.6, abs=0.01)


def test_units_and_steps() -> None:
    tokens = tokens_of(WIDE)
    for allocate in ("uniform", "global"):
        model = prune(
            model_of(WIDE), ratio=0.5, of="units", allocate=allocate, alike=True, steps=3, tokens=tokens,
            align=4,
        )  # fmt: skip
        assert model.config.model_type in ("llama", "mistral")
        (width,) = set(families.widths(model.config))
        assert width.mlp % 4 == 0
        before = 8 + 172
        assert abs(width.kv_heads + width.mlp - before / 2) <= 4


def test_global_decides_between_the_kinds() -> None:
    """With heads that are worth nothing they go, and the channels stay; and the other way round."""
    model = model_of(WIDE)
    for silent, going in (("o_proj", "heads"), ("down_proj", "mlp")):
        weights = weights_of(WIDE)
        for name, parameter in weights.model.named_parameters():
            if silent in name:
                parameter.data.mul_(1e-6)
        plan = make_plan(
            weights.model,
            ratio=0.1,
            allocate="global",
            alike=True,
            criterion="taylor",
            tokens=tokens_of(WIDE),
        )
        assert set(plan.kept) == {going}
    assert families.widths(model.config)[0].kv_heads == 8


def test_layers_that_do_not_take_part_cannot_become_alike() -> None:
    with pytest.raises(PlanError, match=r"prune.alike: .*remove prune.layers"):
        make_plan(model_of(WIDE), ratio=0.1, alike=True, layers=(1, 3), criterion="l1")
    assert make_plan(model_of(WIDE), ratio=0.1, alike=True, layers=(0, 4), criterion="l1").kept


def test_a_shaped_model_becomes_plain_again() -> None:
    model = prune(model_of(WIDE), ratio=0.2, allocate="global", criterion="random", seed=3)
    assert model.config.model_type.startswith("shaped_")
    again = prune(model, ratio=0.5, alike=True, criterion="l1")
    assert not again.config.model_type.startswith("shaped_")
    assert Prune().alike is False
