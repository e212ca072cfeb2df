"""Whole checkpoints are read however they are laid out and spelled; what is left out of one is named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from tailored_llama.checkpoint import ModelWeights, load_model, open_weights, weights_digest
from tailored_llama.checkpoint.contents import INDEX, SINGLE
from tailored_llama.errors import CheckpointError
from tests.support.pico import equal_bits, plain, saved, shaped

NORM = "model.norm.weight"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def restore(directory: Path, state: dict[str, torch.Tensor]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, directory / SINGLE)


def holds(directory: Path, model: PreTrainedModel) -> None:
    """Both ways of reading give `model`: tensor by tensor, and as a whole."""
    assert weights_digest(open_weights(directory)) == weights_digest(ModelWeights(model))
    assert equal_bits(load_model(directory), model)


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_weights(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def warned(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_an_index_that_names_what_nobody_needs(sharded: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    rotary = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": where[NORM] for i in range(3)}
    edit(sharded / INDEX, weight_map={**where, **rotary, "model.gone": "model-00009-of-00009.safetensors"})
    holds(sharded, plain())
    assert not caplog.records


def test_a_tensor_that_the_index_forgot_or_misplaced(sharded: Path) -> None:
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    edit(sharded / INDEX, weight_map={n: f for n, f in where.items() if n != NORM})
    holds(sharded, plain())
    other = next(file for file in where.values() if file != where[NORM])
    edit(sharded / INDEX, weight_map={**where, NORM: other})
    holds(sharded, plain())


def test_of_two_copies_in_shards_the_index_decides(sharded: Path) -> None:
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    other = sharded / next(file for file in where.values() if file != where[NORM])
    save_file({**load_file(other), NORM: torch.zeros(32)}, other)
    holds(sharded, plain())
    edit(sharded / INDEX, weight_map={n: f for n, f in where.items() if n != NORM})
    assert f"{NORM} is stored in" in refusal(sharded)


def test_one_shard_with_an_index_and_shards_without_one(tmp_path: Path, sharded: Path) -> None:
    one = saved(plain(), tmp_path / "one")
    name = "model-00001-of-00001.safetensors"
    (one / SINGLE).rename(one / name)
    holds(one, plain())
    (one / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(plain().state_dict(), name)}))
    holds(one, plain())
    (sharded / INDEX).unlink()
    holds(sharded, plain())
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert "an incomplete set of shards" in refusal(sharded)


def test_the_only_file_may_have_any_name(single: Path) -> None:
    (single / SINGLE).rename(single / "weights.safetensors")
    holds(single, plain())
    save_file({"other": torch.zeros(1)}, single / "more.safetensors")
    assert "more.safetensors, weights.safetensors are an incomplete set" in refusal(single)


def test_a_single_file_and_shards_beside_it(
    single: Path, sharded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    (single / INDEX).write_text(json.dumps({"weight_map": where}))  # its shards are gone
    holds(single, plain())
    assert not caplog.records
    for shard in sharded.glob("model-*.safetensors"):
        state = {name: tensor + 1 for name, tensor in load_file(shard).items()}
        save_file(state, single / shard.name)
    holds(single, plain())  # as transformers reads it
    assert f"{SINGLE} is read; ignored: model-00001-of" in warned(caplog)
    (single / SINGLE).write_bytes(b"half a file")  # left by a download that was broken off
    assert open_weights(single).tensor(NORM).equal(plain().state_dict()[NORM] + 1)


def test_an_index_of_shards_that_were_replaced(sharded: Path) -> None:
    where = json.loads((sharded / INDEX).read_text())["weight_map"]
    edit(sharded / INDEX, weight_map={name: file.replace("-of-0", "-of-1") for name, file in where.items()})
    holds(sharded, plain())


@pytest.mark.parametrize("form", ["plain", "shaped"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_tied_model_saved_without_its_head(tmp_path: Path, form: str, wrapper: str) -> None:
    model = {"plain": plain, "shaped": shaped}[form](tie_word_embeddings=True)
    directory = saved(model, tmp_path)
    restore(directory, {wrapper + name: tensor for name, tensor in model.model.state_dict().items()})
    holds(directory, model)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model."])
def test_names_that_wrappers_put_something_before(single: Path, wrapper: str) -> None:
    restore(single, {wrapper + name: tensor for name, tensor in plain().state_dict().items()})
    holds(single, plain())


def test_an_untied_model_without_a_head(single: Path) -> None:
    state = load_file(single / SINGLE)
    head = state.pop("lm_head.weight")
    restore(single, state)
    assert "lacks lm_head.weight; if the embedding is the head, set tie_word_embeddings" in refusal(single)
    restore(single, {name.removeprefix("model."): tensor for name, tensor in state.items()})
    assert "set tie_word_embeddings to true in config.json" in refusal(single)
    edit(single / "config.json", tie_word_embeddings=True)
    assert open_weights(single).shape("model.embed_tokens.weight") == tuple(head.shape)


def test_what_is_not_whole_stays_refused(sharded: Path, single: Path) -> None:
    index = sharded / INDEX
    where = json.loads(index.read_text())["weight_map"]
    path = sharded / where[NORM]
    state = load_file(path)
    del state[NORM]
    save_file(state, path)
    assert f"{path}: lacks {NORM}, which {INDEX} expects there" in refusal(sharded)
    edit(index, weight_map={name: file for name, file in where.items() if name != NORM})
    assert f"lacks {NORM}; the checkpoint is incomplete" in refusal(sharded)
    (single / SINGLE).unlink()
    (single / SINGLE).symlink_to("nowhere")
    assert "is a link to a file that does not exist" in refusal(single)


def test_weights_that_the_config_denies_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = saved(plain(attention_bias=True, num_hidden_layers=4), tmp_path)
    edit(directory / "config.json", attention_bias=False, num_hidden_layers=3)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            open_weights(directory)
    (record,) = caplog.records
    output = record.getMessage()
    assert output.count("\n") == 0
    assert f"{directory}: 25 stored tensors unused with this config.json: " in output
    assert "model.layers.0.self_attn." in output
    assert "and 22 more; if the model needs them, correct attention_bias, num_hidden_layers" in output


def test_a_model_that_holds_nothing_more_gives_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = plain(tie_word_embeddings=True)
    directory = saved(model, tmp_path)
    state = {**model.state_dict(), "model.rotary_emb.inv_freq": torch.ones(4)}
    state["model.layers.0.self_attn.rotary_emb.cos_cached"] = torch.ones(4)
    restore(directory, {name: tensor.clone() for name, tensor in state.items()})
    holds(directory, model)
    assert not caplog.records
