"""The tables of slices: sizes by formula, what a config may say, and the config of a cut."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from transformers import GPT2Config, LlamaConfig, MistralConfig

from tailored_llama import families
from tailored_llama.checkpoint import ModelWeights
from tailored_llama.errors import FamilyError
from tailored_llama.families import LayerWidths
from tests.support.pico import SHAPES, config_of, model_of
from tests.support.published import PUBLISHED


@pytest.mark.parametrize(
    ("config", "parameters", "macs"),
    PUBLISHED.values(),
    ids=PUBLISHED.keys(),
)
def test_sizes_of_llama_7b(config: Any, parameters: int, macs: int) -> None:
    assert families.parameter_count(config) == parameters
    assert families.mac_count(config, 64) == macs


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES)
def test_parameters_are_those_of_the_model(shape: dict[str, Any]) -> None:
    config = config_of(**shape)
    model = model_of(config)
    assert families.parameter_count(config) == sum(p.numel() for p in model.parameters())
    weights = ModelWeights(model)
    for group in families.groups(config):
        if group.kind == "layers":
            held = sum(p.numel() for p in model.model.layers.parameters())
            assert group.parameters * group.units == held
        else:
            shapes = ((weights.shape(piece.tensor), piece) for piece in group.slices)
            owned = sum(math.prod(s) // s[piece.axis] * group.units * piece.stride for s, piece in shapes)
            assert group.parameters * group.units == owned
        for piece in group.slices:
            assert weights.shape(piece.tensor)[piece.axis] == group.units * piece.stride


def test_groups_of_grouped_queries() -> None:
    heads, queries, mlp, *_ = families.groups(config_of(queries=3, attention_bias=True, num_hidden_layers=1))
    assert (heads.kind, heads.layer, heads.units, heads.channels) == ("heads", 0, 2, 8)
    scored = [(s.tensor.split(".")[-2], s.axis, s.stride) for s in heads.slices if s.scored]
    assert scored == [("q_proj", 0, 24), ("o_proj", 1, 24), ("v_proj", 0, 8), ("k_proj", 0, 8)]
    assert (queries.kind, queries.units, queries.blocks) == ("query_heads", 6, 2)
    scored = [(s.tensor.split(".")[-2], s.axis, s.stride) for s in queries.slices]
    assert scored == [("q_proj", 0, 8), ("o_proj", 1, 8), ("q_proj", 0, 8)]  # the last is the bias
    # The bias of o_proj has the residual width: no head owns any of it.
    assert [s.tensor.split(".")[-2] for s in heads.slices if not s.scored] == ["q_proj", "v_proj", "k_proj"]
    assert [s.tensor.split(".")[-2] for s in mlp.slices] == ["gate_proj", "up_proj", "down_proj"]


def test_layers_alike_stay_llama_where_the_heads_divide() -> None:
    config = families.with_widths(config_of(queries=1, num_key_value_heads=4), [LayerWidths(2, 2, 9)] * 3)
    assert config.model_type == "llama"
    assert (config.num_attention_heads, config.num_key_value_heads, config.intermediate_size) == (2, 2, 9)
    assert (config.head_dim, config.architectures) == (8, ["LlamaForCausalLM"])


def test_heads_that_do_not_divide_make_a_mistral_without_window() -> None:
    dense = config_of(queries=1, num_key_value_heads=4, tie_word_embeddings=True, pretraining_tp=2)
    config = families.with_widths(dense, [LayerWidths(3, 3, 9)] * 3)
    assert (config.model_type, config.sliding_window) == ("mistral", None)
    assert (config.num_attention_heads, config.head_dim, config.tie_word_embeddings) == (3, 8, True)
    assert families.check_config(config).name == "mistral"
    shaped = families.with_widths(config, [LayerWidths(3, 3, 9), LayerWidths(2, 2, 9), LayerWidths(3, 3, 9)])
    assert shaped.model_type == "shaped_llama"
    assert not hasattr(shaped, "sliding_window")


@pytest.mark.parametrize("bias", ["attention_bias", "mlp_bias"])
def test_biases_and_odd_heads_make_the_shaped_form(bias: str) -> None:
    dense = config_of(queries=1, num_key_value_heads=4, **{bias: True})
    config = families.with_widths(dense, [LayerWidths(3, 3, 9)] * 3)
    assert config.model_type == "shaped_llama"
    assert getattr(config, bias) is True


def test_shaped_form_keeps_the_dense_numbers_and_comes_back() -> None:
    dense = config_of()
    unlike = [LayerWidths(4, 2, 24), LayerWidths(2, 1, 5), LayerWidths(4, 2, 24)]
    shaped = families.with_widths(dense, unlike)
    assert shaped.layer_widths == [[4, 2, 24], [2, 1, 5], [4, 2, 24]]
    assert (shaped.num_attention_heads, shaped.intermediate_size) == (4, 24)
    assert families.widths(shaped) == unlike
    assert families.check_config(shaped).name == "llama"
    plain = families.with_widths(shaped, [unlike[0]] * 3)
    assert plain.model_type == "llama"
    assert not hasattr(plain, "layer_widths")


@pytest.mark.parametrize(
    "inert",
    [{"max_sequence_length": 2048}, {"pretraining_tp": 2}, {"use_cache": False}, {"attention_dropout": 0.1},
     {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, {"unheard_of": None}],
)  # fmt: skip
def test_attributes_that_say_nothing_about_a_cut(inert: dict[str, Any]) -> None:
    assert families.check_config(LlamaConfig(**inert)).name == "llama"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (LlamaConfig(attention_twist=0.5), "attention_twist"),
        (LlamaConfig(quantization_config={"bits": 4}), "quantization_config"),
        (LlamaConfig(chunk_size_feed_forward=3), "chunk_size_feed_forward"),
        (MistralConfig(mlp_bias=True), "mlp_bias"),
    ],
)
def test_attributes_nobody_knows_are_refused_by_name(config: Any, name: str) -> None:
    with pytest.raises(FamilyError, match=f"{name}.*--allow-config {name}"):
        families.check_config(config)
    assert families.check_config(config, allow=[name])


def test_unknown_family() -> None:
    with pytest.raises(FamilyError, match=r"gpt2.*known: .*llama, ministral"):
        families.groups(GPT2Config())
