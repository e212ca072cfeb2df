"""LLM-Pruner's channel-wise selections on a tiny LLaMA: the same residual channels, scores and logits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tailored_llama import checkpoint
from tailored_llama.families import MODEL
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune import make_plan, prune
from tailored_llama.stages.prune.scores import channel_scores
from tests.support.rounding import scores_close, tolerance

CRITERIA = {"param_first": "taylor", "vectorize": "taylor_vector"}
CASES = [
    "channel.param_first.0.2",
    "channel.param_first.0.5",
    "channel.vectorize.0.2",
    "channel.vectorize.0.5",
]
CASES_WITH_LOGITS = {"channel.param_first.0.5", "channel.vectorize.0.2"}


def case_of(root: Path, name: str) -> tuple[dict[str, Any], Prune]:
    case = json.loads((root / "expected.json").read_text())[name]
    ratio = float(re.search(r"--pruning_ratio (\S+)", case["args"])[1])  # type: ignore[index]
    criterion = CRITERIA[re.search(r"--taylor (\S+)", case["args"])[1]]  # type: ignore[index]
    return case, Prune(ratio=ratio, of="units", units=("hidden",), criterion=criterion)


@pytest.mark.parametrize("name", CASES)
def test_channel_wise_cases(shared: Path, name: str, tmp_path: Path) -> None:
    root = shared / "golden"
    case, settings = case_of(root, name)
    tokens = load_file(root / "llama_tiny" / "tokens.safetensors")["input_ids"]
    found = channel_scores(checkpoint.open_weights(root / "llama_tiny"), settings, tokens, 0)
    expected = load_file(root / "scores.safetensors")[f"{name}|step1.model.norm"]
    scores_close(found["hidden", MODEL].flatten(), expected)
    plan = make_plan(root / "llama_tiny", settings=settings, tokens=tokens)
    assert plan.kept == {"hidden": {MODEL: case["kept_hidden"]}}
    assert plan.params["after"] == case["params"]
    if name in CASES_WITH_LOGITS:
        model = checkpoint.load_model(
            prune(root / "llama_tiny", out=tmp_path / "cut", settings=settings, tokens=tokens)
        )
        model.set_attn_implementation("eager")
        logits = load_file(root / "pruned_logits.safetensors")[name]
        atol = tolerance(model, tokens[:2])
        with torch.no_grad():
            torch.testing.assert_close(model(tokens[:2]).logits, logits, rtol=0, atol=atol)


@pytest.mark.parametrize("criterion", ["taylor_mix", "l2", "l1"])
def test_where_the_reference_crashed_or_left_the_embedding_out(shared: Path, criterion: Any) -> None:
    root = shared / "golden"
    tokens = load_file(root / "llama_tiny" / "tokens.safetensors")["input_ids"]
    plan = make_plan(
        root / "llama_tiny", ratio=0.5, of="units", units=("hidden",), criterion=criterion, tokens=tokens
    )
    assert len(plan.kept["hidden"][MODEL]) == 32
    assert plan.params["after"] == 156832
