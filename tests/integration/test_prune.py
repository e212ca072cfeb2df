"""Whole pruning runs on a really trained model: every criterion, to a checkpoint that loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tailored_llama import plugins
from tailored_llama.recipe import Calibration
from tailored_llama.stages.prune import Plan, make_plan, prune

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the sunshine."


@pytest.fixture(scope="module")
def stories(shared: Path) -> Path:
    return shared / "models" / "stories260K"


def loss(model_directory: Path) -> float:
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    model = AutoModelForCausalLM.from_pretrained(model_directory)
    tokens = tokenizer(STORY, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return float(model(input_ids=tokens, labels=tokens).loss)


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("criterion", plugins.bundled(plugins.CRITERIA))
def test_half_of_the_parameters_by_every_criterion(
    shared: Path, stories: Path, tmp_path: Path, criterion: str, allocate: str
) -> None:
    layers = criterion == "block_influence"  # whole ones, of which there are five
    out = prune(
        stories, out=tmp_path / "out", criterion=criterion, allocate=allocate, ratio=0.5,
        units=("layers",) if layers else ("heads", "mlp"),
        calibration=Calibration(source="c4"), data={"c4": str(shared / "data" / "c4" / "demo.jsonl")},
    )  # fmt: skip
    plan = Plan.load(Path(str(out)) / "plan.json")
    assert plan.params["after"] / plan.params["before"] == pytest.approx(0.5, abs=0.1 if layers else 0.0025)
    assert torch.isfinite(torch.tensor(loss(tmp_path / "out")))


def test_taylor_knows_what_matters(stories: Path) -> None:
    """On text of its own, the model loses less by Taylor's choice than by that of four seeds on the mean."""
    model = AutoModelForCausalLM.from_pretrained(stories)
    torch.manual_seed(0)
    start = torch.full((24, 1), model.config.bos_token_id)
    record = model.generate(start, max_new_tokens=95, min_new_tokens=95, do_sample=True, pad_token_id=0)
    seen, unseen = record[:12], record[12:]

    def lost(criterion: str, seed: int = 0) -> float:
        smaller = prune(model, tokens=seen, criterion=criterion, ratio=0.2, seed=seed)
        with torch.no_grad():
            return float(
                smaller(input_ids=unseen, labels=unseen).loss - model(input_ids=unseen, labels=unseen).loss
            )

    assert 0 < lost("taylor") < 0.85 * sum(lost("random", seed) for seed in range(4)) / 4


def test_the_task_itself_is_calibration(shared: Path, stories: Path) -> None:
    plans = [
        make_plan(
            stories, criterion="taylor", ratio=0.3, tasks=["boolq", "piqa"], seed=seed,
            data={name: str(shared / "data" / name) for name in ("boolq", "piqa")},
            calibration=Calibration(source="task"),
        )
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert plans[0] == plans[1]
    assert plans[0].kept != plans[2].kept
