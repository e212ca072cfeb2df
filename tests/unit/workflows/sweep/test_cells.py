"""The cells of a sweep, what makes no sense as one, and where the stages of cells lie."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.cli import execute
from tailored_llama.errors import RecipeError
from tailored_llama.workflows.sweep.cells import groups_of
from tests.support.sweeps import BASE, cells


def test_every_combination_seed_by_seed() -> None:
    found = cells(
        **{
            "prune.ratio": [0.2, 0.5],
            "seed": [1, 2],
            "tune.loss": ["answer", ["answer", "choice"]],
            "variants": {"small": {"tune.lora.r": 4}, "large": {}},
        }
    )
    assert len({cell.name for cell in found}) == len(found) == 16
    assert [cell.seed for cell in found] == [1] * 8 + [2] * 8
    assert found[0].name == "small,ratio=0.2,loss=answer,seed=1"
    last = found[-1]
    assert last.name == "large,ratio=0.5,loss=answer+choice,seed=2"
    assert (last.recipe.prune.ratio, last.recipe.seed, last.recipe.tune.lora.r) == (0.5, 2, 8)
    assert last.recipe.tune.loss == {"answer": 1.0, "choice": 1.0}
    assert last.recipe.sweep is None
    assert last.recipe.export.formats == ()
    assert found[0].recipe.tune.lora.r == 4
    assert [len(members) for _, members in groups_of(found)] == [2] * 8


def test_nested_keys_are_dotted_ones() -> None:
    assert [c.name for c in cells(prune={"ratio": [0.2, 0.5]})] == [
        c.name for c in cells(**{"prune.ratio": [0.2, 0.5]})
    ]


def test_several_sets_of_variants_are_combined() -> None:
    found = cells(variants=[{"a": {"tune.epochs": 1}, "b": {}}, {"x": {"tune.lora.r": 2}, "y": {}}])
    assert [cell.group for cell in found] == ["a,x", "a,y", "b,x", "b,y"]
    assert (found[0].recipe.tune.epochs, found[0].recipe.tune.lora.r) == (1, 2)
    with pytest.raises(RecipeError, match=r"tune\.epochs is in a list and in variant x"):
        cells(variants=[{"a": {"tune.epochs": 1}}, {"x": {"tune.epochs": 2}}])


def test_names_tell_keys_of_the_same_end_apart() -> None:
    (cell,) = cells(**{"prune.calibration.length": [32], "evaluate.length": [64]})
    assert cell.name == "calibration.length=32,evaluate.length=64,seed=42"


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "it is empty"),
        ({"prune.ratio": []}, "sweep.prune.ratio: the list is empty"),
        ({"prune.ratio": 0.2}, r"sweep.prune.ratio: a list of values is needed \(it is 0.2\)"),
        ({"prune.ratio": [0.2, 0.2]}, "a value is listed twice"),
        ({"prune.ratioo": [0.2]}, r"unknown key 'prune.ratioo' \(did you mean 'ratio'\?\)"),
        ({"prune.ratio": [2]}, "prune.ratio: input should be less than 1"),
        ({"seed": list(range(501))}, r"501 cells \(501\) are more than 500; shorten its lists or set"),
        ({"seed": [1, 2], "max_cells": 1}, r"2 cells \(2\) are more than 1"),
        ({"seed": [1], "dense_tuned": "no"}, r"sweep\.dense_tuned: true or false is needed"),
        ({"variants": {}}, "give each variant a name"),
        ({"variants": {"a": 3}}, r"sweep.variants.a: a mapping of keys"),
        ({"variants": {"a/b": {}}}, "is not a valid name"),
        ({"seed": [1], "variants": {"a": {"seed": 2}}}, "seed is in a list and in variant a"),
        (
            {"heal.rounds": [1, 2], "variants": {"off": {"heal": None}}},
            "heal in variant off conflicts with heal.rounds",
        ),
        (
            {"variants": {"a": {"tune": {"epochs": 3}}}},
            "would reset its other keys; write tune.epochs",
        ),
        ({"tasks": [["world_boolq"], ["world_piqa"]]}, "on the same questions; remove tasks and evaluate"),
        ({"variants": {"a": {}, "b": {"evaluate.prompt": "harness"}}}, "on the same questions"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_one_line(
    sweep: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({**BASE, "sweep": sweep}))
    assert execute(["run", str(recipe), "--out", str(tmp_path / "out")]) == 2
    (output,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, output)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "output"),
    [
        (["--ratio", "0.3"], "prune.ratio: this recipe sweeps prune.ratio; set sweep.prune.ratio to a list"),
        (["--seed", "7"], "seed: this recipe sweeps seed"),
        (["--set", "heal.texts=3"], "heal.texts: this recipe sweeps heal;"),
    ],
)
def test_what_is_swept_is_not_set_beside_it(
    flags: list[str], output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["run", "lab-ratios", *flags, "--out", str(tmp_path / "out")]) == 2
    assert output in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_may_be_left_out_may_be_put_in() -> None:
    (_, healed) = cells(variants={"plain": {}, "healed": {"heal": {"texts": 8}}})
    assert healed.recipe.heal.texts == 8
