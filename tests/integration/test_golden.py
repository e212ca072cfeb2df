"""LLM-Pruner's own selections on a tiny LLaMA: the same units, the same scores, the same logits."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tailored_llama import checkpoint, families
from tailored_llama.families import Kept
from tailored_llama.recipe import Prune, load_recipe
from tailored_llama.stages.prune import CutWeights, make_plan, prune
from tailored_llama.stages.prune.scores import ChannelScores, channel_scores
from tailored_llama.workflows.sweep.cells import cells_of
from tests.support.rounding import scores_close, tolerance

CRITERIA = {
    "param_first": "taylor",
    "vectorize": "taylor_vector",
    "param_second": "taylor_second",
    "param_mix": "taylor_mix",
}
MODULES = {"heads": "self_attn.q_proj", "mlp": "mlp.gate_proj"}
BLOCK_CASES = 37
CASES_WITH_LOGITS = 3


@cache
def golden(root: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Expected units, scores and logits, and the calibration batch."""
    tokens = load_file(root / "llama_tiny" / "tokens.safetensors")["input_ids"]
    expected = json.loads((root / "expected.json").read_text())
    cases = {
        name: case
        for name, case in expected.items()
        if name.startswith("block.") and "error" not in case and "v130" not in name
    }
    return (
        cases,
        load_file(root / "scores.safetensors"),
        load_file(root / "pruned_logits.safetensors"),
        tokens,
    )


def settings_of(arguments: str) -> Prune:
    """LLM-Pruner's command line, in our words."""

    def option(name: str, default: str) -> str:
        found = re.search(rf"--{name} (\S+)", arguments)
        return found.group(1) if found else default

    kind = option("pruner_type", "")
    return Prune(
        ratio=float(option("pruning_ratio", "")),
        of="units",
        criterion=CRITERIA[option("taylor", "")] if kind == "taylor" else kind,
        reduce=option("grouping_strategy", "sum"),
        layers=(int(option("block_mlp_layer_start", "")), int(option("block_mlp_layer_end", ""))),
        steps=int(option("iterative_steps", "1")),
        allocate="global" if "--global_pruning" in arguments else "uniform",
    )


def test_every_block_case(shared: Path) -> None:
    root = shared / "golden"
    cases, scores, _, tokens = golden(root)
    assert len(cases) == BLOCK_CASES
    for name, case in cases.items():
        plan = make_plan(root / "llama_tiny", settings=settings_of(case["args"]), tokens=tokens)
        check_units(name, case, plan.kept)
        assert plan.params["after"] == case["params"], name
        check_scores(name, root, settings_of(case["args"]), scores, tokens)


def test_a_share_of_the_parameters_selects_the_same_units(shared: Path) -> None:
    """`of: params` at the share that LLM-Pruner's count of units removes, in every uniform case."""
    root = shared / "golden"
    cases, _, _, tokens = golden(root)
    own = {name: settings_of(case["args"]) for name, case in cases.items()}
    uniform = {name: settings for name, settings in own.items() if settings.allocate == "uniform"}
    assert len(uniform) >= 30
    before = families.parameter_count(checkpoint.load_config(root / "llama_tiny"))
    for name, settings in uniform.items():
        share = 1 - cases[name]["params"] / before
        by_share = settings.model_copy(update={"of": "params", "ratio": share})
        plan = make_plan(root / "llama_tiny", settings=by_share, tokens=tokens)
        check_units(name, cases[name], plan.kept)


@pytest.mark.parametrize(
    ("recipe", "variants"), [("lab-real-cut", {"llm-pruner"}), ("lab-real-whole", {"llm-pruner", "paper"})]
)
def test_the_lab_has_the_published_selection(shared: Path, recipe: str, variants: set[str]) -> None:
    """All but the share, the layers and the text as in the published case."""
    published = settings_of(golden(shared / "golden")[0]["block.param_first.0.25"]["args"])
    cells = [cell for cell in cells_of(load_recipe(recipe)) if cell.chosen["variant"] in variants]
    assert {cell.chosen["variant"] for cell in cells} == variants
    free = ("ratio", "of", "layers", "calibration")
    for cell in cells:
        settings = cell.recipe.prune
        same = {name: getattr(published, name) for name in free}
        assert settings.model_copy(update=same) == published, cell.name
        assert (settings.of, settings.layers) == ("params", (4, 28))
        assert (settings.calibration.samples, settings.calibration.length) == (10, 64)


def check_units(name: str, case: dict[str, Any], kept: Kept) -> None:
    for layer in map(str, range(6)):
        heads = kept.get("heads", {}).get(int(layer), [0, 1, 2, 3])
        channels = kept.get("mlp", {}).get(int(layer), list(range(172)))
        assert heads == case["kept_heads"][layer], (name, layer)
        assert channels == case["kept_channels"][layer], (name, layer)


@cache
def scores_of(root: Path, criterion: str, reduce: str, layers: tuple[int, int], kept: str) -> ChannelScores:
    """Many cases differ in their ratio only."""
    weights = checkpoint.open_weights(root / "llama_tiny")
    left = {
        kind: {int(layer): units for layer, units in each.items()} for kind, each in json.loads(kept).items()
    }
    settings = Prune(criterion=criterion, reduce=reduce, layers=layers)
    return channel_scores(CutWeights(weights, left), settings, golden(root)[3], seed=0)


def check_scores(name: str, root: Path, settings: Prune, expected: dict[str, Tensor], tokens: Tensor) -> None:
    """Every step's scores, each on what the steps before have left."""
    for step in range(1, settings.steps + 1):
        kept: Kept = {}
        if step > 1:
            part = settings.model_copy(
                update={"ratio": settings.ratio * (step - 1) / settings.steps, "steps": step - 1}
            )
            kept = make_plan(root / "llama_tiny", settings=part, tokens=tokens).kept
        found = scores_of(root, settings.criterion, settings.reduce, settings.layers, json.dumps(kept))
        keys = [key for key in expected if key.startswith(f"{name}|step{step}.")]
        assert len(keys) == len(found) > 0
        for (kind, layer), ours in found.items():
            theirs = expected[f"{name}|step{step}.model.layers.{layer}.{MODULES[kind]}"]
            scores_close(ours.flatten(), theirs)


def test_logits_of_the_cut_model(shared: Path, tmp_path: Path) -> None:
    root = shared / "golden"
    cases, _, logits, tokens = golden(root)
    names = sorted(set(cases) & set(logits))
    assert len(names) == CASES_WITH_LOGITS
    for name in names:
        out = prune(
            root / "llama_tiny", out=tmp_path / name, settings=settings_of(cases[name]["args"]), tokens=tokens
        )
        model = checkpoint.load_model(out)
        # As the reference computed it; this model makes 1e-4 of the roundings of another kernel.
        model.set_attn_implementation("eager")
        atol = tolerance(model, tokens[:2])
        with torch.no_grad():
            torch.testing.assert_close(model(tokens[:2]).logits, logits[name], rtol=0, atol=atol)


@pytest.mark.parametrize("case", ["block.param_first.iter3.0.5", "block.param_first.small.0.1"])
def test_where_the_reference_crashed(shared: Path, case: str) -> None:
    """Less than a head to drop: the heads stay whole for now, and the channels go."""
    root = shared / "golden"
    arguments = json.loads((root / "expected.json").read_text())[case]["args"]
    plan = make_plan(root / "llama_tiny", settings=settings_of(arguments), tokens=golden(root)[3])
    assert 0 < plan.params["after"] < plan.params["before"]
    assert families.parameter_count(checkpoint.load_config(root / "llama_tiny")) == plan.params["before"]
