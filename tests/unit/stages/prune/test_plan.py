"""A plan as a file: readable, comparable, checked against the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.errors import PlanError
from tailored_llama.results import PlanSource
from tailored_llama.stages.prune import Plan
from tests.support.pico import config_of

PLAN = Plan(
    PlanSource(model="pico", digest="a" * 64),
    {"heads": {0: [1]}, "mlp": {2: [0, 5], 10: [3]}},
    {"before": 100, "after": 60},
    {"ratio": 0.4, "seed": 42},
)


def test_round_trip(tmp_path: Path) -> None:
    PLAN.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == PLAN
    assert Plan.load(tmp_path / "plan.json").digest == PLAN.digest
    empty = Plan(PLAN.source, {}, PLAN.params, PLAN.settings)
    assert Plan.from_json(empty.to_json()) == empty


def test_a_line_for_each_layer() -> None:
    document = json.loads(PLAN.to_json())
    assert list(document) == ["source", "kept", "params", "settings"]
    assert document["kept"] == {"heads": {"0": [1]}, "mlp": {"2": [0, 5], "10": [3]}}
    lines = PLAN.to_json().splitlines()
    assert '      "2": [0, 5],' in lines
    assert lines.index('      "2": [0, 5],') < lines.index('      "10": [3]')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a plan"),
        ("[]", "not a plan"),
        ('{"kept": {}}', "not a plan"),
        (
            '{"source": {}, "kept": {"mlp": {"0": [0.5]}}, "params": {}, "settings": {}}',
            "not a list of unit indices",
        ),
        ('{"source": {}, "kept": {"experts": {}}, "params": {}, "settings": {}}', "cannot cut 'experts'"),
    ],
)
def test_what_is_no_plan(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match=f"plan.json.*{says}"):
        Plan.load(tmp_path / "plan.json")


def test_no_such_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="tailor plan"):
        Plan.load(tmp_path / "plan.json")


def test_of_another_model() -> None:
    config = config_of(num_hidden_layers=11)
    PLAN.check(config, "pico", "a" * 64)
    PLAN.check(config, "a copy in memory", None)
    with pytest.raises(PlanError, match=r"of pico \(digest aaaaaaaaaaaa\), not of other \(digest bbbb"):
        PLAN.check(config, "other", "b" * 64)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"mlp": {3: [0]}}, "layer 3, which pico does not have"),
        ({"mlp": {0: [24]}}, "below 24"),
        ({"heads": {0: [2]}}, "below 2"),
        ({"mlp": {0: [-1, 4]}}, "below 24"),
        ({"mlp": {0: [4, 2]}}, "ascending"),
        ({"mlp": {0: [4, 4]}}, "ascending"),
        ({"mlp": {0: []}}, "ascending"),
    ],
)
def test_layers_and_units_outside(kept: dict[str, dict[int, list[int]]], says: str) -> None:
    plan = Plan(PlanSource(model="pico", digest=None), kept, {}, {})  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=says):
        plan.check(config_of(), "pico", None)
