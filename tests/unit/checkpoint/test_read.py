"""Reading checkpoints: lazily, checked at opening, and refused in one line where they are not whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tailored_llama.checkpoint import (
    Checkpoint,
    ModelWeights,
    Weights,
    check_finite,
    load_model,
    load_tokenizer,
    open_weights,
    resolve,
    weights_digest,
)
from tailored_llama.errors import CheckpointError, FamilyError
from tests.support.pico import equal_bits, plain, saved, shaped, tokens

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def rewrite(directory: Path, drop: tuple[str, ...] = (), **tensors: torch.Tensor) -> None:
    """Change the tensors of a single-file checkpoint; __ stands for a dot."""
    state = {n: t for n, t in load_file(directory / SINGLE).items() if n not in drop}
    state |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(state, directory / SINGLE)


def refusal(directory: Path | str, kind: type[CheckpointError] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        open_weights(directory)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["plain", "shaped", "tied", "bf16", "sharded"])
def test_the_disk_gives_what_the_model_has(tmp_path: Path, form: str) -> None:
    model = {
        "plain": plain, "shaped": shaped, "sharded": shaped, "tied": lambda: plain(tie_word_embeddings=True),
        "bf16": lambda: plain().to(torch.bfloat16),
    }[form]()  # fmt: skip
    options = {"max_shard_size": "6KB"} if form == "sharded" else {}
    disk, memory = Checkpoint(saved(model, tmp_path, **options)), ModelWeights(model)
    assert isinstance(disk, Weights)
    assert isinstance(memory, Weights)
    assert (
        disk.names() == memory.names() == [n for n in model.state_dict() if form != "tied" or "lm_" not in n]
    )
    for name in disk.names():
        assert disk.shape(name) == memory.shape(name) == tuple(model.state_dict()[name].shape)
        assert disk.dtype(name) == memory.dtype(name) == model.state_dict()[name].dtype
        assert torch.equal(disk.tensor(name), memory.tensor(name))
    assert weights_digest(disk) == weights_digest(memory)


def test_loaded_models_are_the_same_to_the_bit_whatever_they_come_from(tmp_path: Path) -> None:
    model = shaped(tie_word_embeddings=True)
    disk = saved(model, tmp_path)
    for source in (disk, str(disk), open_weights(disk), ModelWeights(model)):
        loaded = load_model(source)
        assert equal_bits(loaded, model)
        assert not loaded.training
        assert torch.equal(loaded(tokens(1, 5)).logits, model(tokens(1, 5)).logits)
    assert load_model(model) is model
    assert load_model(disk, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_auto_precision_is_that_of_the_weights_and_not_of_the_config(single: Path) -> None:
    edit(single / "config.json", dtype="bfloat16")
    assert load_model(single).dtype == torch.float32
    rewrite(single, model__norm__weight=torch.ones(32, dtype=torch.float64))
    assert load_model(single).dtype == torch.float64


def test_buffers_of_old_checkpoints_are_ignored(single: Path) -> None:
    rewrite(single, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4))
    assert "model.layers.0.self_attn.rotary_emb.inv_freq" not in open_weights(single).names()


def test_tied_weights_may_be_stored_under_either_name_or_both(tmp_path: Path) -> None:
    model = plain(tie_word_embeddings=True)
    directory = saved(model, tmp_path)
    rewrite(directory, lm_head__weight=model.lm_head.weight.detach().clone())
    assert weights_digest(open_weights(directory)) == weights_digest(ModelWeights(model))
    rewrite(directory, drop=("model.embed_tokens.weight",))
    assert weights_digest(open_weights(directory)) == weights_digest(ModelWeights(model))
    assert equal_bits(load_model(directory), model)
    rewrite(directory, model__embed_tokens__weight=torch.zeros(50, 32))
    assert "tie_word_embeddings" in refusal(directory)


def test_the_digest_is_of_the_values(single: Path, sharded: Path) -> None:
    assert weights_digest(open_weights(single)) == weights_digest(open_weights(sharded))
    rewrite(single, model__norm__weight=torch.zeros(32))
    assert weights_digest(open_weights(single)) != weights_digest(open_weights(sharded))


def test_missing_shard(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert f"{shard}: shard is missing" in refusal(sharded)


@pytest.mark.parametrize("left", [0, 5, 1000, -1])
def test_truncated_shard(sharded: Path, left: int) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:left])
    assert f"{shard}: truncated or damaged" in refusal(sharded)


def test_an_index_that_is_damaged(sharded: Path) -> None:
    index = sharded / INDEX
    where = json.loads(index.read_text())["weight_map"]
    edit(index, weight_map={**where, "model.norm.weight": "../model.safetensors"})
    assert "no weight_map" in refusal(sharded)
    index.write_text("{")
    assert f"{index}: not valid JSON" in refusal(sharded)


def test_missing_and_misshapen_tensors(single: Path) -> None:
    rewrite(single, model__norm__weight=torch.ones(31))
    assert "model.norm.weight is [31], config.json requires [32]" in refusal(single)
    rewrite(single, drop=("model.norm.weight", "lm_head.weight"))
    assert "lacks model.norm.weight, lm_head.weight" in refusal(single)


def test_quantised_weights(single: Path) -> None:
    rewrite(single, model__norm__weight=torch.ones(32, dtype=torch.int8))
    assert "model.norm.weight is stored as I8" in refusal(single)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(single: Path, bad: float) -> None:
    check_finite(open_weights(single))
    rewrite(single, model__layers__2__mlp__up_proj__weight=torch.full((24, 32), bad))
    kind = "NaN" if bad != bad else "Inf"  # noqa: PLR0124 (NaN is what differs from itself)
    with pytest.raises(CheckpointError, match=rf"model.layers.2.mlp.up_proj.weight contains {kind}"):
        check_finite(open_weights(single))


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickles(single: Path, pickle: str) -> None:
    (single / SINGLE).rename(single / pickle)
    message = refusal(single)
    assert f"only pickled weights ({pickle}) in {single}" in message
    assert "convert to safetensors first" in message


def test_directories_without_weights_or_config(single: Path, tmp_path: Path) -> None:
    (single / SINGLE).unlink()
    assert f"no {SINGLE} or {INDEX} in {single}" in refusal(single)
    (single / "config.json").write_text("not json")
    assert "config.json: not valid JSON" in refusal(single)
    (single / "config.json").unlink()
    assert f"{single} has no config.json" in refusal(single)
    (tmp_path / "tuned" / "adapter").mkdir(parents=True)
    assert "contains only an adapter" in refusal(tmp_path / "tuned")


def test_configs_that_are_not_ours_to_cut(single: Path) -> None:
    config = single / "config.json"
    good = config.read_text()
    edit(config, model_type="mamba9")
    assert "unknown model_type 'mamba9'; known: arcee, cohere2" in refusal(single, FamilyError)
    config.write_text(good)
    edit(config, hidden_size=33)
    assert f"{config}: " in refusal(single)
    config.write_text(good)
    edit(config, sparsity_pattern="2:4")
    assert "sparsity_pattern" in refusal(single, FamilyError)
    assert open_weights(single, allow_config=["sparsity_pattern"]).names()


def test_code_that_came_with_a_checkpoint_is_not_run(single: Path) -> None:
    edit(
        single / "config.json",
        auto_map={"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"},
    )
    (single / "theirs.py").write_text("raise SystemExit('their code was run')\n")
    assert "auto_map" in refusal(single, FamilyError)
    with pytest.raises(SystemExit):
        open_weights(single, trust_remote_code=True)


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("./modle", "/no/such/modle", "~/modle", "a/b/c", "modle/", "a b"):
        assert refusal(name) == f"no such directory: {name}; name a checkpoint directory, a hub id or `world`"
    for name in ("modle", "nobody/modle"):  # these might be on the hub, which the tests never ask
        assert f"{name}: no such directory, and the hub is switched off" in refusal(name)
    (tmp_path / "file").write_text("")
    assert refusal("file").startswith("file is a file; name the checkpoint directory")
    with pytest.raises(CheckpointError, match="no such directory"):
        resolve(Path("nobody/modle"))  # a Path never means the hub


def test_the_bundled_model_has_a_name() -> None:
    from tailored_llama import world

    if world.model_path().is_dir():
        assert resolve("world") == world.model_path()


def test_things_that_are_no_model() -> None:
    with pytest.raises(CheckpointError, match="cannot read a model from a Linear"):
        open_weights(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def test_tokenizers(single: Path, shared: Path) -> None:
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        load_tokenizer(single)
    (single / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer does not load"):
        load_tokenizer(single)
    assert load_tokenizer(shared / "models" / "stories260K")("once")["input_ids"]
