"""Adapters that other programs trained: merged on request; what cannot be merged is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tailored_llama import evaluate, export, tune
from tailored_llama.checkpoint import adapter_digest, find_adapter, load_model, load_tuned, open_weights
from tailored_llama.errors import CheckpointError, TuneError
from tests.support.adapters import trained
from tests.support.pico import plain, saved, tokens
from tests.support.tokenizers import tokenizer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    directory = saved(plain(vocab_size=300), tmp_path / "base")
    tokenizer().save_pretrained(directory)
    return directory


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return trained(tmp_path / "peft", plain(vocab_size=300))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(base: Path, adapter: Path) -> str:
    with pytest.raises(TuneError) as caught:
        load_tuned(base, adapter, base_unchecked=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_adapter_of_another_program_is_merged_where_that_is_asked_for(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(TuneError, match=r"does not record its base.*--base-unchecked"):
        export(base, adapter=adapter, out=tmp_path / "out")
    out = export(base, adapter=adapter, base_unchecked=True, out=tmp_path / "out")
    theirs = PeftModel.from_pretrained(plain(vocab_size=300), str(adapter)).merge_and_unload().eval()
    with torch.no_grad():
        ours = load_model(out)(tokens(1, 5)).logits
        assert torch.allclose(ours, theirs(tokens(1, 5)).logits, atol=1e-5)
        assert not torch.allclose(ours, load_model(base)(tokens(1, 5)).logits, atol=1e-2)
    text = tmp_path / "text.txt"
    text.write_text("the cat and the dog " * 30)
    row = evaluate(base, adapter=adapter, base_unchecked=True, perplexity=[str(text)], length=16)
    merged = evaluate(out, perplexity=[str(text)], length=16)
    assert row["perplexity"][str(text)]["perplexity"] == pytest.approx(
        merged["perplexity"][str(text)]["perplexity"], rel=1e-5
    )


@pytest.mark.parametrize("config", [False, True])
def test_an_adapter_is_no_model_and_it_is_said_how_to_use_it(base: Path, adapter: Path, config: bool) -> None:
    edit(adapter / CONFIG, base_model_name_or_path="someone/base")
    (adapter / "training_args.bin").write_bytes(b"pickle")
    if config:  # as some trainers write it beside
        (adapter / "config.json").write_bytes((base / "config.json").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        open_weights(adapter)
    assert str(caught.value) == (
        f"{adapter} is an adapter of someone/base (PEFT), not a model: name its base as MODEL and this "
        "directory as --adapter; if another program trained it, add --base-unchecked"
    )
    load_tuned(base, adapter, base_unchecked=True)
    if not config:
        with pytest.raises(CheckpointError, match="is an adapter of someone/base"):
            tune(adapter, task="boolq")


def test_an_unchecked_base_needs_an_adapter(base: Path, tmp_path: Path) -> None:
    for call in (evaluate, export):
        with pytest.raises(TuneError, match="--base-unchecked needs an adapter; name it: --adapter DIR"):
            call(base, base_unchecked=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pickled_weights_of_an_adapter_are_not_read(base: Path, adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    message = refusal(base, adapter)
    assert f"has no {WEIGHTS}, only adapter_model.bin, a pickle, which is never read" in message


def test_kinds_and_keys_that_are_not_followed(base: Path, adapter: Path) -> None:
    good = (adapter / CONFIG).read_text()
    for changes, output in (
        ({"peft_type": "PROMPT_TUNING"}, "peft_type is 'PROMPT_TUNING'; only LoRA"),
        ({"peft_type": None}, "only LoRA"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "megatron_config is not supported"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication is not supported"),
        ({"of_tomorrow": {"a": 1}}, "of_tomorrow is not supported"),
        ({"target_modules": ["nothing"]}, "does not fit the base"),
        ({"r": "two"}, "adapter"),
    ):
        edit(adapter / CONFIG, **changes)
        assert output in refusal(base, adapter), changes
        (adapter / CONFIG).write_text(good)
    edit(adapter / CONFIG, of_tomorrow=None, runtime_config=None)
    load_tuned(base, adapter, base_unchecked=True)


def test_every_tensor_of_an_adapter_has_a_place_and_every_place_a_tensor(base: Path, adapter: Path) -> None:
    state = load_file(adapter / WEIGHTS)
    name = next(name for name in state if "q_proj.lora_A" in name)
    save_file({n: t for n, t in state.items() if n != name}, adapter / WEIGHTS)
    assert "lacks base_model.model.model.layers.0.self_attn.q_proj.lora_A" in refusal(base, adapter)
    save_file({**state, name.replace("q_proj", "v_proj"): state[name].clone()}, adapter / WEIGHTS)
    assert "has tensors unknown to the base:" in refusal(base, adapter)
    save_file({**state, name: torch.zeros(2, 7)}, adapter / WEIGHTS)
    assert "does not fit the base" in refusal(base, adapter)
    save_file({**state, name: torch.full_like(state[name], torch.nan)}, adapter / WEIGHTS)
    assert "contains NaN" in refusal(base, adapter)


def test_a_head_is_not_trained_apart_from_the_embedding_it_is_tied_to(tmp_path: Path) -> None:
    base = saved(plain(tie_word_embeddings=True), tmp_path / "base")
    adapter = trained(tmp_path / "peft", plain(tie_word_embeddings=True), target_modules=["lm_head"])
    assert "ties embedding and head" in refusal(base, adapter)
    loose = saved(plain(), tmp_path / "loose")
    load_tuned(loose, trained(tmp_path / "own", plain(), target_modules=["lm_head"]), base_unchecked=True)


def test_the_digest_of_an_adapter_is_of_what_is_read(base: Path, adapter: Path) -> None:
    before = adapter_digest(find_adapter(adapter))
    (adapter / "optimizer.pt").write_bytes(b"pickle")
    (adapter / "config.json").write_bytes((base / "config.json").read_bytes())
    assert adapter_digest(adapter) == before
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes() + b" ")
    assert adapter_digest(adapter) != before
