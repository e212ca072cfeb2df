"""Attributes that no table knows: named together, accepted once, and from then on by every verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tailored_llama import export, prune
from tailored_llama.checkpoint import (
    ALLOWED_KEY,
    accepting,
    load_config,
    load_model,
    open_weights,
    write_checkpoint,
)
from tailored_llama.checkpoint.lineage import local_config
from tailored_llama.errors import CheckpointError, FamilyError
from tailored_llama.recipe import load_recipe
from tailored_llama.shaped import FAMILIES
from tailored_llama.stages.prune import make_plan
from tailored_llama.training.base_model import write_model
from tests.support.pico import plain, saved, shaped
from tests.support.tokenizers import tokenizer

UNKNOWN = {"twist": 0.5, "sparsity_pattern": "2:4", "gate_scale": [1, 2]}
ALLOW = tuple(UNKNOWN)
TOKENS = torch.randint(3, 50, (4, 8), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A checkpoint with attributes of its own."""
    directory = saved(plain(vocab_size=300), tmp_path / "odd")
    tokenizer().save_pretrained(directory)
    edit(directory, **UNKNOWN)
    return directory


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def config_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return content


def test_all_are_named_at_once_with_the_flags_that_accept_them(odd: Path) -> None:
    with pytest.raises(FamilyError) as caught:
        open_weights(odd)
    err = str(caught.value)
    assert err.startswith(f"{odd / 'config.json'}: ")
    assert (
        "attributes twist = 0.5, sparsity_pattern = '2:4', gate_scale = [1, 2]; if they do not change" in err
    )
    assert "--allow-config twist --allow-config sparsity_pattern --allow-config gate_scale" in err
    with pytest.raises(FamilyError, match=r"the attribute gate_scale = \[1, 2\]; if it does not change"):
        open_weights(odd, allow_config=ALLOW[:2])
    edit(odd, **{f"key_{number}": "x" * 500 for number in range(100)})
    with pytest.raises(FamilyError, match="and 83 more") as caught:
        open_weights(odd)
    assert len(str(caught.value)) < 2500


def test_a_key_of_the_rotation_is_unknown_too(tmp_path: Path) -> None:
    directory = saved(plain(), tmp_path)
    edit(directory, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4, "warp": 3})
    with pytest.raises(FamilyError, match=r"attribute rope_parameters.warp = 3; .*--allow-config rope_param"):
        load_config(directory)
    with accepting(["rope_parameters.warp"]):
        write_checkpoint(open_weights(directory), tmp_path / "out")
    assert load_config(tmp_path / "out").rope_parameters["warp"] == 3


@pytest.mark.parametrize("name", ["to_dict", "validate_rope", "per_layer_config", "default_theta"])
def test_names_that_transformers_uses_itself_cannot_be_accepted(tmp_path: Path, name: str) -> None:
    directory = saved(plain(), tmp_path)
    edit(directory, **{name: {"0": {"intermediate_size": 8}}})
    with pytest.raises(FamilyError, match=f"the attribute {name} is reserved by transformers"):
        open_weights(directory, allow_config=[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rope_interleaved", False), ("unk_token_id", 0), ("sep_token_id", None), ("image_token_id", 7),
        ("_model_name_or_path", "x"), ("_flash_attn", True), ("unsloth_version", "2025.1"),
        ("hidden_dropout", 0.1), ("temperature", 0.6), ("max_length", 20), ("tokenizer_class", "X"),
        ("gradient_checkpointing", True), ("num_labels", 3), ("use_sliding_window", False),
        ("attn_implementation", "eager"), ("pruned_heads", {}), ("transformers.js_config", {"dtype": "q4"}),
    ],
)  # fmt: skip
def test_attributes_that_say_nothing_about_the_computation_pass(
    tmp_path: Path, name: str, value: Any
) -> None:
    directory = saved(plain(), tmp_path)
    edit(directory, **{name: value})
    assert torch.equal(load_model(directory).lm_head.weight, plain().lm_head.weight)
    if name in ("rope_interleaved", "use_sliding_window"):
        edit(directory, **{name: True})
        with pytest.raises(FamilyError, match=name):
            load_config(directory)


def test_what_was_accepted_is_written_and_accepted_from_then_on(odd: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    prune(odd, out=small, ratio=0.2, criterion="l2", allow_config=ALLOW)
    content = config_of(small)
    assert content[ALLOWED_KEY] == sorted(ALLOW)
    assert {name: content[name] for name in ALLOW} == UNKNOWN
    assert open_weights(small).config.twist == 0.5
    edit(small, another=1)  # what was not there then is not accepted now
    with pytest.raises(FamilyError, match="the attribute another = 1"):
        open_weights(small)
    edit(small, another=None)
    again = tmp_path / "again"
    prune(small, out=again, ratio=0.1, criterion="l2")
    assert config_of(again)[ALLOWED_KEY] == sorted(ALLOW)
    exported = export(again, out=tmp_path / "hf")
    assert config_of(exported)[ALLOWED_KEY] == sorted(ALLOW)
    assert load_model(exported).config.twist == 0.5
    edit(small, **{ALLOWED_KEY: "twist"})
    with pytest.raises(CheckpointError, match=f"{ALLOWED_KEY} must list names of attributes"):
        open_weights(small)


def test_a_plan_carries_what_was_accepted_for_it(odd: Path, tmp_path: Path) -> None:
    plan = make_plan(odd, ratio=0.2, criterion="l2", allow_config=ALLOW)
    assert plan.settings["allow_config"] == sorted(ALLOW)
    plan.save(tmp_path / "plan.json")
    prune(odd, out=tmp_path / "small", plan=tmp_path / "plan.json")
    assert config_of(tmp_path / "small")[ALLOWED_KEY] == sorted(ALLOW)
    assert "allow_config" not in make_plan(plain(), ratio=0.2, criterion="l2").settings


def test_models_in_memory(odd: Path, tmp_path: Path) -> None:
    with accepting(ALLOW):
        model = load_model(odd)
    assert getattr(model.config, ALLOWED_KEY) == sorted(ALLOW)
    small = prune(model, ratio=0.2, criterion="l2")
    assert load_model(small) is small
    write_model(small, tmp_path / "tuned", odd, None)
    assert open_weights(tmp_path / "tuned").config.twist == 0.5
    own = shaped()
    own.config.twist = 1
    for read in (open_weights, load_model):
        with pytest.raises(FamilyError, match="the model in memory: the llama table does not know"):
            read(own)
    assert prune(own, ratio=0.2, criterion="l2", allow_config="twist").config.twist == 1
    assert open_weights(own).names()  # the model that was given carries it too
    assert not hasattr(FAMILIES["llama"].config, ALLOWED_KEY)


def test_pictures_of_a_cut_need_no_acceptance(odd: Path) -> None:
    config = local_config(odd)
    assert config is not None
    assert config.num_hidden_layers == 3


def test_a_recipe_knows_the_key() -> None:
    assert load_recipe({"model": "x"}).allow_config == ()
    assert load_recipe({"model": "x", "allow_config": "twist"}).allow_config == ("twist",)
    assert load_recipe({"model": "x"}, [("allow_config", ["a", "b"])]).allow_config == ("a", "b")
