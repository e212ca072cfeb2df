"""Configs that describe no model are refused in one line, before anything is built or allocated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tailored_llama import families
from tailored_llama.checkpoint import load_config, load_model, open_weights
from tailored_llama.errors import CheckpointError
from tailored_llama.profiling import measure
from tests.support.hub_configs import HUB
from tests.support.pico import DISTINCT, WIDTHS, pico, plain, saved, shaped

INF, NAN = float("inf"), float("nan")
ROPE = {"rope_theta": 1e4, "rope_type": "default"}
LINEAR = {"type": "linear", "factor": 2.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(plain(), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def picos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family, by what is varied."""
    root = tmp_path_factory.mktemp("picos")
    models = {case: pico(case, weights="fresh") for case in DISTINCT}
    models["shaped"] = shaped()
    return {case: saved(model, root / case) for case, model in models.items()}


def put(directory: Path, content: dict[str, Any]) -> Path:
    """A directory with that config and the weights of `directory`."""
    (directory / "config.json").write_text(json.dumps(content))
    return directory


def content_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return content


def refusal(directory: Path, changes: dict[str, Any], gone: str = "") -> str:
    """What is said of the config with `changes` when the weights are opened and when it is measured alone."""
    before = content_of(directory)
    put(directory, {key: value for key, value in {**before, **changes}.items() if key != gone})
    try:
        with pytest.raises(CheckpointError) as opened:
            open_weights(directory)
        with pytest.raises(CheckpointError) as measured:
            measure([directory], config_only=True)
    finally:
        put(directory, before)
    assert str(opened.value) == str(measured.value)
    assert "\n" not in str(opened.value)
    assert len(str(opened.value)) < 1000
    return str(opened.value)


BAD_SIZES = [-1, 0, 2**31, 2**63, 10**400, 4.0, 4.5, True, "4", None, [4], {"a": 4}, NAN, INF]
SIZE_KEYS = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]


@pytest.mark.parametrize("key", SIZE_KEYS)
def test_sizes(llama: Path, key: str) -> None:
    for value in BAD_SIZES:
        assert f"config.json: {key} must be" in refusal(llama, {key: value})
    assert f"config.json: {key} is missing" in refusal(llama, {}, gone=key)


@pytest.mark.parametrize("key", ["num_key_value_heads", "head_dim", "max_position_embeddings"])
def test_sizes_that_have_a_default(llama: Path, key: str) -> None:
    for value in BAD_SIZES:
        if not (value is None and key != "max_position_embeddings"):
            assert f"config.json: {key} must be" in refusal(llama, {key: value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rms_norm_eps": 0}, "rms_norm_eps must be greater than 0"),
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps must be greater than 0"),
        ({"rms_norm_eps": NAN}, "rms_norm_eps must be a finite number"),
        ({"rms_norm_eps": {"__float__": "Infinity"}}, "rms_norm_eps must be a finite number"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps must be a valid number"),
        ({"rope_theta": 0, "rope_parameters": None}, "rope_theta must be greater than 1"),
        ({"rope_theta": INF, "rope_parameters": None}, "rope_theta must be a finite number"),
        ({"rope_parameters": {**ROPE, "rope_theta": 0}}, "rope_parameters.rope_theta must be greater"),
        ({"rope_parameters": {**ROPE, "rope_theta": -1e4}}, "rope_parameters.rope_theta must be greater"),
        ({"rope_parameters": {**ROPE, "rope_theta": INF}}, "rope_parameters.rope_theta must be a finite"),
        ({"rope_parameters": {**ROPE, "rope_theta": "big"}}, "rope_parameters.rope_theta must be a valid"),
        ({"rope_parameters": {**ROPE, "rope_type": "spiral"}}, "unknown type 'spiral'; known: default"),
        ({"rope_parameters": {**ROPE, "rope_type": 3}}, "rope_parameters.rope_type must be a valid string"),
        ({"rope_parameters": {**ROPE, "factor": 4.0}}, "factor is given without a type that reads it"),
        ({"rope_parameters": [1]}, "rope_parameters must be a mapping"),
        ({"rope_parameters": None, "rope_scaling": "linear"}, "rope_scaling must be a mapping"),
        ({"rope_parameters": None, "rope_scaling": {**LINEAR, "factor": 0}}, "rope_scaling.factor must be"),
        ({"rope_parameters": None, "rope_scaling": {**LINEAR, "factor": NAN}}, "rope_scaling.factor must"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "the type linear needs factor"),
        ({"rope_parameters": None, "rope_scaling": {"type": "longrope"}}, "needs short_factor, long_factor"),
        ({"rope_parameters": {**ROPE, "rope_type": "llama3", "factor": 2}}, "llama3 needs low_freq_factor"),
        ({"rope_parameters": {**ROPE, **LLAMA3, "high_freq_factor": 1}}, "high_freq_factor = 1 must be"),
        ({"rope_parameters": {**ROPE, **LLAMA3, "low_freq_factor": 0}}, "low_freq_factor must be greater"),
        (
            {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0] * 4}},
            "rope_parameters.short_factor lists 1 factors where 4 are needed",
        ),
        (
            {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}},
            "the layers of llama rotate whole heads",
        ),
        ({"dtype": "Tensor"}, "dtype is 'Tensor', expected one of float64"),
        ({"dtype": "float8_e4m3fn"}, "dtype is 'float8_e4m3fn', expected one of"),
        ({"dtype": ["float32"]}, "dtype is ['float32'], expected one of"),
        ({"hidden_act": "nosuch"}, "hidden_act is 'nosuch', expected one of gelu"),
        ({"hidden_act": "prelu"}, "hidden_act is 'prelu', expected one of gelu"),
        ({"hidden_act": 3}, "hidden_act is 3, expected one of gelu"),
        ({"hidden_act": ["silu"]}, "hidden_act is ['silu'], expected one of gelu"),
        ({"pad_token_id": 50}, "pad_token_id is 50, which is outside the vocabulary of 50"),
        ({"pad_token_id": -2}, "pad_token_id is -2, which is outside"),
        ({"pad_token_id": 1.0}, "pad_token_id is 1.0, which is outside"),
        ({"bos_token_id": True}, "bos_token_id is True, which is outside"),
        ({"eos_token_id": [1, 99]}, "eos_token_id is 99, which is outside"),
        ({"eos_token_id": "2"}, "eos_token_id is '2', which is outside"),
        ({"num_key_value_heads": 3}, "num_attention_heads = 4 is not a multiple of num_key_value_heads = 3"),
        ({"num_key_value_heads": 8}, "num_attention_heads = 4 is not a multiple of num_key_value_heads = 8"),
        ({"num_attention_heads": 6}, "hidden_size = 32 is not a multiple of num_attention_heads = 6"),
        ({"head_dim": 7}, "7 channels of each head are rotated; an even number is needed"),
        ({"head_dim": None, "hidden_size": 2}, "hidden_size = 2 is not a multiple of num_attention_heads"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be a valid boolean"),
        ({"attention_bias": "yes"}, "attention_bias must be a valid boolean"),
        ({"attention_dropout": 1.5}, "attention_dropout must be less than or equal to 1"),
        ({"initializer_range": -0.1}, "initializer_range must be greater than or equal to 0"),
        ({"num_labels": 2**31}, "num_labels must be less than or equal to 100000"),
        ({"layer_widths": WIDTHS}, "layer_widths belongs to model_type shaped_llama"),
        ({"num_hidden_layers": 1024}, "num_hidden_layers = 1024, the weights lack layers from 3 on"),
        ({"tailor_allow_config": "all"}, "tailor_allow_config must list names of attributes"),
    ],
    ids=lambda value: json.dumps(value)[:70] if isinstance(value, dict) else "",
)
def test_values_that_describe_no_model(llama: Path, changes: dict[str, Any], words: str) -> None:
    if "num_hidden_layers" in changes:  # of the config alone that is a model
        put(llama, {**(before := content_of(llama)), **changes})
        with pytest.raises(CheckpointError) as caught:
            open_weights(llama)
        put(llama, before)
        output = str(caught.value)
    else:
        output = refusal(llama, changes)
    assert words in output


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        ("qwen2", {"layer_types": ["full_attention"] * 2}, "layer_types lists 2 layers where"),
        ("qwen2", {"layer_types": ["full_attention", "linear_attention", "full_attention"]}, "unknown type"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "no sliding_window is in use"),
        ("qwen2", {"layer_types": "full_attention"}, "layer_types must be a valid list"),
        ("qwen2", {"max_window_layers": -1}, "max_window_layers must be greater than or equal to 0"),
        ("qwen2", {"max_window_layers": 2.0}, "max_window_layers must be a valid integer"),
        ("qwen2", {"use_sliding_window": "no"}, "use_sliding_window must be a valid boolean"),
        ("mistral", {"sliding_window": 0}, "sliding_window must be greater than or equal to 1"),
        ("mistral", {"sliding_window": -4096}, "sliding_window must be greater than or equal to 1"),
        ("gemma2", {"sliding_window": None}, "no sliding_window is in use"),
        ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar must be greater"),
        ("gemma2", {"attn_logit_softcapping": 0}, "attn_logit_softcapping must be greater than 0"),
        ("gemma2", {"final_logit_softcapping": INF}, "final_logit_softcapping must be a finite number"),
        ("gemma2", {"hidden_activation": "nosuch"}, "hidden_activation is 'nosuch'"),
        ("gemma3_text", {"sliding_window_pattern": 0}, "sliding_window_pattern must be greater"),
        ("gemma3_text", {"rope_parameters": ROPE}, "rope_parameters.rope_theta must be a mapping"),
        ("gemma3_text", {"rope_parameters": {"no_attention": ROPE}}, "one set of parameters for each of"),
        ("phi3", {"partial_rotary_factor": 0}, "partial_rotary_factor must be greater than 0"),
        ("phi3", {"rope_parameters": {**ROPE, **LINEAR, "rope_type": "linear"}}, "known: default, longrope"),
        ("shaped", {"layer_widths": WIDTHS[:2]}, "layer_widths lists 2 layers where num_hidden_layers is 3"),
        ("shaped", {"layer_widths": None}, "layer_widths is missing"),
        ("shaped", {"layer_widths": [[4, 2], *WIDTHS[1:]]}, "layer_widths.0 must"),
        ("shaped", {"layer_widths": [[4, 2, 0], *WIDTHS[1:]]}, "layer_widths.0.2 must be greater"),
        ("shaped", {"layer_widths": [[4, 3, 9], *WIDTHS[1:]]}, "4 heads are not a multiple of 3"),
        ("shaped", {"layer_widths": [[4, 2, 2**40], *WIDTHS[1:]]}, "layer_widths.0.2 must be less"),
    ],
)  # fmt: skip
def test_values_of_other_families(
    picos: dict[str, Path], case: str, changes: dict[str, Any], words: str
) -> None:
    assert words in refusal(picos[case], changes)


def test_a_default_beyond_the_vocabulary(picos: dict[str, Path]) -> None:
    # phi3's classes take 32000 where a config does not name a token for padding.
    output = refusal(picos["phi3"], {}, gone="pad_token_id")
    assert "pad_token_id is 32000, which is outside the vocabulary of 40" in output


def test_several_problems_are_named_together(llama: Path) -> None:
    output = refusal(llama, {"hidden_size": -1, "rms_norm_eps": 0, "rope_parameters": {"rope_theta": 0}})
    for name in ("hidden_size", "rms_norm_eps", "rope_parameters.rope_theta"):
        assert name in output


@pytest.mark.parametrize(
    "text",
    ['{"hidden_size": 32, "hidden_size": 64}', '{"a": ' + "[" * 100_000, '{"a": 1', "", "[]", "null", "\x00"],
    ids=["twice", "deep", "cut", "empty", "list", "null", "NUL"],
)
def test_files_that_hold_no_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.json: (not valid JSON|not a JSON object)"):
        load_config(tmp_path)


def test_a_byte_order_mark_and_whole_numbers_for_floats_are_read(llama: Path, tmp_path: Path) -> None:
    content = {**content_of(llama), "rms_norm_eps": 1, "initializer_range": 0}
    (tmp_path / "config.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert load_config(tmp_path).rms_norm_eps == 1


def test_models_in_memory() -> None:
    model = plain()
    model.config.rope_parameters = {"rope_theta": 0, "rope_type": "default"}
    for read in (open_weights, load_model):
        with pytest.raises(CheckpointError, match=r"the model in memory: rope_parameters.rope_theta must"):
            read(model)


def test_a_checkpoint_does_not_decide_how_outputs_are_computed(llama: Path, tmp_path: Path) -> None:
    content = {
        **content_of(llama), "attn_implementation": "flash_attention_2", "return_dict": False,
        "_attn_implementation": "flash_attention_2", "output_attentions": True, "_auto_class": "x",
    }  # fmt: skip
    model = load_model(put(saved(plain(), tmp_path), content))
    assert model.config._attn_implementation == "sdpa"
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 50)


@pytest.mark.parametrize("name", HUB)
def test_configs_of_the_hub_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    put(tmp_path, HUB[name])
    config = load_config(tmp_path)
    assert families.parameter_count(config) > 10**8
    assert families.check_config(config)
    for key in SIZE_KEYS:
        assert getattr(config, key) == HUB[name][key]
