"""Tuning as a stage: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
)

from tailored_llama import tune
from tailored_llama.checkpoint import load_tuned
from tailored_llama.errors import DataError, DivergedError, RecipeError, TaskError, TuneError
from tailored_llama.stages.tune import chosen_prompt
from tailored_llama.stages.tune import stage as job
from tailored_llama.stages.tune import wording as shots
from tailored_llama.training import loop as trainer
from tests.support.pico import fresh
from tests.support.tuning import QUICK, WORDS


def weights_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_directory_holds_the_adapter_the_merged_model_and_the_records(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", seed=3, **QUICK)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names >= {
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/base.json",
        "history.jsonl", "shots.json", "manifest.json", "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    record = json.loads((out / "shots.json").read_text())
    assert sorted(record["labels"]) == [0] * 4 + [1] * 4
    assert len(set(record["rows"])) == 8
    assert (record["prompt"], record["cut"], record["candidates"]) == ("paper", 0, [])
    assert record["example"]["context"].endswith("\nAnswer:")
    assert chosen_prompt(out) == "paper"
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [(h["step"], h["epoch"]) for h in history] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert set(history[0]) == {"step", "epoch", "loss", "lr", "tokens", "seconds"}


def test_merged_model_adapter_on_base_and_model_in_memory_are_one(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", **QUICK)
    ids = torch.arange(10)[None]
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(out)(ids).logits
        on_top = load_tuned(base, out)(ids).logits
        in_memory = tune(base, task="boolq", data=data, **QUICK)(ids).logits
        untuned = AutoModelForCausalLM.from_pretrained(base)(ids).logits
    torch.testing.assert_close(on_top, merged, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(in_memory, merged, atol=1e-6, rtol=1e-6)
    assert (merged - untuned).abs().max() > 1e-3


def test_without_merge_only_the_adapter_and_it_knows_its_base(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", merge=False, **QUICK)
    assert not (out / "config.json").exists()
    other = LlamaForCausalLM.from_pretrained(base)
    load_tuned(other, out).unload()  # the same weights, in memory
    with torch.no_grad():
        other.lm_head.weight[0, 0] += 1
    digests = r"was tuned on base [0-9a-f]{8}, this base is [0-9a-f]{8};"
    with pytest.raises(TuneError, match=digests):
        load_tuned(other, out)
    (out / "adapter" / "base.json").unlink()
    with pytest.raises(TuneError, match="does not record its base"):
        load_tuned(base, out)
    with pytest.raises(TuneError, match=r"holds no adapter_config\.json"):
        load_tuned(base, base)


def test_a_damaged_adapter_is_refused(base: Path, data: dict[str, str], tmp_path: Path) -> None:
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", merge=False, **QUICK)
    file = out / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TuneError, match="does not load"):
        load_tuned(base, out)


def test_seeded_runs_are_equal_to_the_byte_and_leave_the_generator_alone(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        out = tune(base, task="boolq", data=data, out=tmp_path / name, merge=False, seed=seed, **QUICK)
        files.append((out / "adapter" / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]
    assert torch.equal(before, torch.get_rng_state())


def test_a_model_in_memory_stays_as_it_was(base: Path, data: dict[str, str], tmp_path: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(base)
    before = weights_of(model)
    tuned = tune(model, task="boolq", data=data, **QUICK)
    assert weights_of(model).keys() == before.keys() == weights_of(tuned).keys()
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())
    out = tune(model, task="boolq", data=data, out=tmp_path / "out", **QUICK)
    again = AutoModelForCausalLM.from_pretrained(out)
    for name, value in weights_of(again).items():
        torch.testing.assert_close(value, weights_of(tuned)[name], rtol=0, atol=0)
    assert (out / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("stored", "precision", "computed"),
    [
        (torch.float16, "bf16", torch.bfloat16),
        (torch.float16, "fp32", torch.float32),
        (torch.bfloat16, "bf16", torch.bfloat16),
        (torch.bfloat16, "fp32", torch.float32),
        (torch.float32, "bf16", torch.float32),
    ],
)
def test_no_base_computes_in_fp16_and_each_comes_back_in_its_own_format(
    base: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch,
    stored: torch.dtype, precision: str, computed: torch.dtype,
) -> None:  # fmt: skip
    seen: list[torch.dtype] = []

    def fit(model: PreTrainedModel, *args: object, **named: object) -> object:
        seen.append(model.get_input_embeddings().weight.dtype)
        return trainer.fit(model, *args, **named)

    monkeypatch.setattr(job, "fit", fit)
    model = LlamaForCausalLM.from_pretrained(base).to(stored)
    tuned = tune(model, task="boolq", data=data, **{**QUICK, "precision": precision})
    assert seen == [computed]
    assert {p.dtype for p in tuned.parameters()} == {stored}


def test_complete_directories_are_not_tuned_again(
    base: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", **QUICK)
    written = (out / "manifest.json").stat().st_mtime_ns
    tune(base, task="boolq", data=data, out=out, **QUICK)
    assert (out / "manifest.json").stat().st_mtime_ns == written
    tune(base, task="boolq", data=data, out=out, seed=7, **QUICK)
    assert (out / "manifest.json").stat().st_mtime_ns != written


def test_auto_ranks_the_prompts_on_the_shots_alone(
    base: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def rank(
        model: object, tokenizer: object, task: object, rows: list[dict[str, object]], **kw: int
    ) -> list[object]:
        seen.extend(rows)
        return real(model, tokenizer, task, rows, **kw)

    real = shots.rank_prompts
    monkeypatch.setattr(shots, "rank_prompts", rank)
    model = LlamaForCausalLM.from_pretrained(base)
    from tailored_llama.checkpoint import load_tokenizer
    from tailored_llama.data import load_task
    from tailored_llama.recipe import Tune

    settings = Tune(**{**QUICK, "prompt": "auto"})
    task = load_task("boolq")
    chosen = shots.choose(lambda: model, load_tokenizer(base), task, settings, seed=1, data=data["boolq"])
    train = task.rows("train", data["boolq"])
    assert seen == [train[i] for i in chosen.record["rows"]]
    measured = {e["prompt"]: (e["accuracy"], e["margin"]) for e in chosen.record["candidates"]}
    assert measured.keys() == task.prompts.keys()
    assert chosen.record["prompt"] == max(measured, key=lambda name: measured[name])
    assert chosen.record["asked"] == "auto"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"shots": 50}, DataError, "50 shots requested, but .* has 30 training rows"),
        ({"prompt": "papper"}, TaskError, "no prompt 'papper'.*did you mean 'paper'"),
        ({"task": "bolq"}, TaskError, "bolq"),
        ({"learning_rat": 1.0}, RecipeError, "unknown key 'learning_rat'.*did you mean 'learning_rate'"),
        ({"learning_rate": 1e30, "epochs": 9, "warmup": 0.0}, DivergedError, "tuning stopped at step"),
        ({"learning_rate": 1e30, "epochs": 1, "batch_size": 64}, DivergedError, "at step 1: the loss"),
        (
            {"learning_rate": 1e30, "epochs": 1, "batch_size": 64, "early_stop": {"share": 0.3}},
            DivergedError, "stopped at step 1: the loss",
        ),
        ({"data": {}}, DataError, "boolq"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing(
    base: Path, data: dict[str, str], tmp_path: Path, changes: dict[str, object], error: type, message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        tune(base, out=tmp_path / "out", **{"task": "boolq", "data": data, **QUICK, **changes})
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_memory_without_a_tokenizer_is_refused(data: dict[str, str]) -> None:
    model = fresh(vocabulary=len(WORDS))
    model.name_or_path = ""
    with pytest.raises(TuneError, match="pass it: tokenizer="):
        tune(model, task="boolq", data=data, **QUICK)


def test_no_tuned_directory_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"no shots\.json"):
        chosen_prompt(tmp_path)
