"""The stage: in memory and on the disk, plans replayed, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from tailored_llama import checkpoint, families
from tailored_llama.errors import CheckpointError, DataError, PlanError, RecipeError, TailorError
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune import Plan, make_plan, prune
from tests.support.pico import config_of, model_of, tokens_of

CONFIG = config_of(1, num_key_value_heads=4, head_dim=4, intermediate_size=60, num_hidden_layers=4)
TOKENS = tokens_of(CONFIG)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    model_of(CONFIG).save_pretrained(tmp_path / "dense")
    (tmp_path / "dense" / "tokenizer.json").write_text('{"mine": 1}')
    return tmp_path / "dense"


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, Any]:
    save_file({"input_ids": TOKENS}, tmp_path / "ids.safetensors")
    return {"source": str(tmp_path / "ids.safetensors"), "samples": 4, "length": 7}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


def test_a_model_in_and_a_smaller_one_out() -> None:
    model = model_of(CONFIG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    smaller = prune(model, tokens=TOKENS, ratio=0.4)
    assert not isinstance(smaller, Path)
    gone = 1 - families.parameter_count(smaller.config) / families.parameter_count(CONFIG)
    assert gone == pytest.approx(0.4, abs=0.005)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert smaller is not model


def test_a_directory_in_and_a_smaller_one_out(directory: Path, ids: dict[str, Any], tmp_path: Path) -> None:
    out = prune(directory, out=tmp_path / "out", calibration=ids, ratio=0.3, layers=(1, 3))
    plan = Plan.load(tmp_path / "out" / "plan.json")
    assert out == tmp_path / "out"
    assert (out / "tokenizer.json").read_bytes() == (directory / "tokenizer.json").read_bytes()
    loaded = AutoModelForCausalLM.from_pretrained(out, attn_implementation="eager")
    assert plan.params["after"] == sum(p.numel() for p in loaded.parameters())
    assert plan.source["digest"] == checkpoint.Checkpoint(directory).digest
    assert (plan.settings["ratio"], plan.settings["seed"]) == (0.3, 42)
    assert set(plan.kept["mlp"]) <= {1, 2}
    in_memory = prune(model_of(CONFIG), tokens=TOKENS, ratio=0.3, layers=(1, 3))
    assert torch.equal(logits(loaded), logits(in_memory.set_attn_implementation("eager") or in_memory))


def test_a_plan_is_replayed(directory: Path, ids: dict[str, Any], tmp_path: Path) -> None:
    plan = make_plan(directory, calibration=ids, ratio=0.4, criterion="l2")
    plan.save(tmp_path / "plan.json")
    out = prune(directory, plan=tmp_path / "plan.json", out=tmp_path / "out")
    assert Plan.load(tmp_path / "out" / "plan.json") == plan
    again = prune(model_of(CONFIG), plan=plan)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(out)), logits(again))
    other = tmp_path / "other"
    model_of(CONFIG, seed=1).save_pretrained(other)
    with pytest.raises(PlanError, match=f"plan is of {directory.name} .* not of {other}"):
        prune(other, plan=plan, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_what_is_complete_is_not_done_again(directory: Path, ids: dict[str, Any], tmp_path: Path) -> None:
    def written(**settings: Any) -> int:
        out = prune(directory, out=tmp_path / "out", calibration=ids, **settings)
        return (Path(str(out)) / "manifest.json").stat().st_mtime_ns

    first = written()
    assert written() == first
    assert written(seed=43) != first
    second = written(ratio=0.3)
    save_file({"input_ids": TOKENS.flip(0)}, Path(ids["source"]))
    assert written(ratio=0.3) != second
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["stage"], manifest["seed"], manifest["settings"]["ratio"]) == ("prune", 42, 0.3)


def test_steps_score_anew_on_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from tailored_llama.stages.prune import planner as steps

    seen = []
    measure = steps.channel_scores

    def watch(weights: Any, settings: Prune, tokens: Any, seed: int, **how: Any) -> Any:
        seen.append((families.parameter_count(weights.config), tokens))
        return measure(weights, settings, tokens, seed, **how)

    monkeypatch.setattr(steps, "channel_scores", watch)
    plan = make_plan(model_of(CONFIG), tokens=TOKENS, ratio=0.5, steps=3)
    sizes = [size for size, _ in seen]
    assert [size / sizes[0] for size in sizes] == pytest.approx([1, 5 / 6, 4 / 6], abs=0.01)
    assert all(torch.equal(tokens, TOKENS) for _, tokens in seen)
    assert plan.params["after"] / sizes[0] == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("criterion", ["random", "l1", "taylor"])
def test_a_cut_model_can_be_cut_again(criterion: str, allocate: str) -> None:
    once = prune(model_of(CONFIG), tokens=TOKENS, ratio=0.3, criterion=criterion, allocate=allocate)
    twice = prune(once, tokens=TOKENS, ratio=0.3, criterion=criterion, allocate=allocate)
    size = families.parameter_count(twice.config) / families.parameter_count(CONFIG)
    assert size == pytest.approx(0.49, abs=0.01)
    assert logits(twice).isfinite().all()


def test_layers_outside_the_model() -> None:
    with pytest.raises(PlanError, match=r"layers: \[2, 5\] is outside the model, which has 4"):
        make_plan(model_of(CONFIG), tokens=TOKENS, layers=(2, 5))


@pytest.mark.parametrize("bad", [{"ratio": 1.0}, {"ratio": 0}, {"criterion": "taylr"}, {"ratoi": 0.5}])
def test_settings_that_make_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(bad))):
        prune(model_of(CONFIG), tokens=TOKENS, **bad)


@pytest.mark.parametrize("criterion", ["random", "l2", "taylor"])
def test_weights_that_are_no_numbers(criterion: str) -> None:
    model = model_of(CONFIG)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 3] = torch.nan
    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp\.up_proj\.weight contains NaN"):
        prune(model, tokens=TOKENS, criterion=criterion)


def test_weights_that_are_no_numbers_by_a_given_plan() -> None:
    plan = make_plan(model_of(CONFIG), criterion="l2")
    model = model_of(CONFIG)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.inf
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight contains Inf"):
        prune(model, plan=plan)


class ThreeTokens:
    """A tokenizer to which every text is the same three tokens."""

    bos_token = eos_token = None

    def encode(self, text: str, **_: Any) -> list[int]:
        return [1, 2, 3]


def test_a_model_in_memory_has_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    calibration = {"source": str(tmp_path / "text.txt"), "samples": 1, "length": 2}
    with pytest.raises(DataError, match="pass tokenizer"):
        make_plan(model_of(CONFIG), calibration=calibration)
    made = make_plan(model_of(CONFIG), calibration=calibration, tokenizer=ThreeTokens())
    assert made.source.to_json() == {"model": "in memory", "digest": None}


def test_nothing_is_left_behind_by_a_failure(directory: Path, ids: dict[str, Any], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for bad in ({"ratio": 0.99}, {"layers": (0, 9)}, {"calibration": {**ids, "length": 8}}):
        with pytest.raises(TailorError):
            prune(directory, out=tmp_path / "out", **{"calibration": ids, **bad})
    assert sorted(tmp_path.rglob("*")) == before
