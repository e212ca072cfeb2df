"""Bad input through the real command line: exit code 2, one line naming the thing, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from tailored_llama import world
from tests.support.pico import saved, worded
from tests.support.refusals import Say


@pytest.fixture
def pico(tmp_path: Path) -> Path:
    """A random LLaMA in three shards."""
    return saved(worded(vocabulary=128, num_hidden_layers=3), tmp_path / "pico", max_shard_size="20KB")


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    path = tmp_path / "tokens.safetensors"
    save_file({"input_ids": torch.randint(128, (10, 16), generator=torch.Generator().manual_seed(0))}, path)
    return f"prune.calibration={{source: {path}, samples: 10, length: 16}}"


def prune(model: Path, tokens: str, *more: str) -> list[str]:
    return ["prune", str(model), "--out", str(model.parent / "out"), "--set", tokens, *more]


def test_unknown_recipe_key(say: Say, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: world\ntasks: [world_boolq]\nprune: {ratoi: 0.5}\n")
    output = say("run", recipe, "--out", tmp_path / "out")
    assert "mine.yaml" in output
    assert "did you mean 'ratio'" in output


@pytest.mark.parametrize("ratio", ["0", "1", "-0.1", "1.5"])
def test_ratio_outside(say: Say, pico: Path, tokens: str, ratio: str) -> None:
    assert "ratio" in say(*prune(pico, tokens, "--ratio", ratio))


def test_layer_range_outside_the_model(say: Say, pico: Path, tokens: str) -> None:
    output = say(*prune(pico, tokens, "--layers", "1:4"))
    assert "layers" in output
    assert "3" in output


def test_budget_out_of_reach(say: Say, pico: Path, tokens: str) -> None:
    assert "ratio" in say(*prune(pico, tokens, "--ratio", "0.9", "--layers", "1:2"))


def test_unknown_family(say: Say, tmp_path: Path, tokens: str) -> None:
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32)).save_pretrained(
        tmp_path / "gpt2"
    )
    output = say(*prune(tmp_path / "gpt2", tokens))
    assert "gpt2" in output
    assert "tailor families" in output


def test_unknown_config_attribute(say: Say, pico: Path, tokens: str) -> None:
    config = json.loads((pico / "config.json").read_text())
    (pico / "config.json").write_text(json.dumps({**config, "attention_twist": 0.5}))
    output = say(*prune(pico, tokens))
    assert "attention_twist" in output
    assert "--allow-config" in output


def test_missing_shard(say: Say, pico: Path, tokens: str) -> None:
    shard = sorted(pico.glob("*.safetensors"))[1]
    shard.unlink()
    assert shard.name in say(*prune(pico, tokens))


def test_truncated_shard(say: Say, pico: Path, tokens: str) -> None:
    shard = sorted(pico.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert shard.name in say(*prune(pico, tokens))


@pytest.mark.parametrize("criterion", ["taylor", "l2"])
def test_weights_that_are_no_numbers(say: Say, pico: Path, tokens: str, criterion: str) -> None:
    for shard in pico.glob("*.safetensors"):
        tensors = load_file(shard)
        for name in tensors:
            if name == "model.layers.1.mlp.up_proj.weight":
                tensors[name][0, 0] = float("nan")
        save_file(tensors, shard, metadata={"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in say(*prune(pico, tokens, "--criterion", criterion))


def test_pickled_weights(say: Say, pico: Path, tokens: str) -> None:
    for file in (*pico.glob("*.safetensors"), pico / "model.safetensors.index.json"):
        file.unlink()
    (pico / "pytorch_model.bin").write_bytes(b"\x80\x02")
    output = say(*prune(pico, tokens))
    assert "pickle" in output
    assert "safetensors" in output


def test_no_such_model(say: Say, tmp_path: Path, tokens: str) -> None:
    assert "modle" in say(*prune(tmp_path / "modle", tokens))


def test_output_directory_that_holds_something_else(say: Say, pico: Path, tokens: str) -> None:
    (pico.parent / "out").mkdir()
    (pico.parent / "out" / "thesis.txt").write_text("mine")
    assert "thesis.txt" in say(*prune(pico, tokens))


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[..., str]:
    """A local data directory for world_boolq with so many rows a split, as a `--set`."""

    def make(**splits: int) -> str:
        folder = tmp_path / "data"
        folder.mkdir()
        for split, count in splits.items():
            rows = world.rows("boolq", "train")[:count]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"data={{world_boolq: {folder}}}"

    return make


def test_50_shots_from_30_rows(say: Say, tmp_path: Path, rows_of: Callable[..., str]) -> None:
    data = rows_of(train=30, test=5)
    output = say(
        "tune", "world", "--task", "world_boolq", "--shots", "50", "--set", data, "--out", tmp_path / "out"
    )
    assert "50" in output
    assert "30" in output


def test_task_without_the_asked_split(say: Say, tmp_path: Path, rows_of: Callable[..., str]) -> None:
    data = rows_of(train=60)
    output = say("evaluate", "world", "--tasks", "world_boolq", "--set", data, "--out", tmp_path / "out")
    assert "test" in output
    assert "data" in output


def test_unknown_task_and_prompt(say: Say, tmp_path: Path) -> None:
    assert "did you mean 'world_boolq'" in say("evaluate", "world", "--tasks", "world_boolqq")
    output = say("tune", "world", "--task", "world_boolq", "--prompt", "papr", "--out", tmp_path / "out")
    assert "paper" in output


def test_a_failed_run_leaves_a_copy_of_nothing(say: Say, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(world.model_path(), broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:-10])
    assert "model.safetensors" in say("run", "demo", "--set", f"model={broken}", "--out", tmp_path / "out")
