"""Decoders with widths of their own compute, generate, train and save as stock ones do."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tailored_llama import shaped as module
from tailored_llama.shaped import ShapedLlamaConfig, ShapedLlamaForCausalLM
from tests.support.pico import PLAIN_SIZES, WIDTHS, equal_bits, model_of, plain, saved, shaped, tokens

HEAD = PLAIN_SIZES["head_dim"]
layer_widths = st.builds(
    lambda kv, group, mlp: [kv * group, kv, mlp], st.integers(1, 3), st.integers(1, 3), st.integers(1, 24)
)


@settings(max_examples=15, deadline=None)
@given(
    widths=st.lists(layer_widths, min_size=1, max_size=3),
    head_dim=st.sampled_from([2, 4, 10]),
    attention_bias=st.booleans(),
    mlp_bias=st.booleans(),
)
def test_every_layer_has_its_own_widths(
    widths: list[list[int]], head_dim: int, attention_bias: bool, mlp_bias: bool
) -> None:
    model = shaped(
        layer_widths=widths, num_hidden_layers=len(widths), head_dim=head_dim,
        attention_bias=attention_bias, mlp_bias=mlp_bias,
    )  # fmt: skip
    for layer, (heads, kv_heads, mlp) in zip(model.model.layers, widths, strict=True):
        attention = layer.self_attn
        assert attention.q_proj.out_features == attention.o_proj.in_features == heads * head_dim
        assert attention.k_proj.out_features == attention.v_proj.out_features == kv_heads * head_dim
        assert layer.mlp.gate_proj.out_features == layer.mlp.down_proj.in_features == mlp
    assert model.config.num_attention_heads == PLAIN_SIZES["num_attention_heads"]
    assert torch.isfinite(model(tokens(2, 7)).logits).all()


def test_a_fresh_model_is_initialised_as_the_stock_one() -> None:
    model = shaped(hidden_size=256, initializer_range=0.01, weights="fresh")
    for layer in model.model.layers:
        assert 0.009 < layer.self_attn.q_proj.weight.std() < 0.011


def test_cut_layers_compute_what_the_dense_ones_compute_with_zeroed_units() -> None:
    dense = plain()
    cut = shaped(layer_widths=[[4, 2, 24], [2, 1, 24], [2, 1, 10]])
    state = dense.state_dict()
    with torch.no_grad():
        for layer in (1, 2):  # the second KV head goes, with its two query heads
            at = f"model.layers.{layer}.self_attn."
            state[at + "o_proj.weight"][:, 2 * HEAD :] = 0
            for name, rows in (("q_proj", 2 * HEAD), ("k_proj", HEAD), ("v_proj", HEAD)):
                state[f"{at}{name}.weight"] = state[f"{at}{name}.weight"][:rows]
            state[at + "o_proj.weight"] = state[at + "o_proj.weight"][:, : 2 * HEAD]
        at = "model.layers.2.mlp."
        state[at + "down_proj.weight"][:, 10:] = 0
        state[at + "down_proj.weight"] = state[at + "down_proj.weight"][:, :10]
        for name in ("gate_proj", "up_proj"):
            state[f"{at}{name}.weight"] = state[f"{at}{name}.weight"][:10]
    cut.load_state_dict(state)
    assert (cut(tokens(2, 9)).logits - dense(tokens(2, 9)).logits).abs().max() < 1e-5


@pytest.mark.parametrize("how", [{}, {"cache_implementation": "static"}, {"num_beams": 3}], ids=str)
def test_generation_with_a_cache_equals_generation_without(how: dict[str, Any]) -> None:
    model, prompt = shaped(), tokens(2, 6)
    mask = torch.ones_like(prompt)
    mask[0, :2] = 0  # padded on the left
    common = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    with_cache = model.generate(prompt, **common, **how)
    without = model.generate(prompt, **common, **{**how, "cache_implementation": None}, use_cache=False)
    assert with_cache.shape[1] > prompt.shape[1]
    assert torch.equal(with_cache, without)


def test_the_attention_implementation_set_later_reaches_every_layer() -> None:
    model, ids = shaped(), tokens(1, 8)
    before = model(ids).logits
    model.set_attn_implementation("eager")
    assert {layer.self_attn.config._attn_implementation for layer in model.model.layers} == {"eager"}
    assert (model(ids).logits - before).abs().max() < 1e-5


def test_gradient_checkpointing_changes_no_gradient() -> None:
    def gradients(model: PreTrainedModel) -> list[torch.Tensor]:
        model.train()
        model(tokens(2, 8), labels=tokens(2, 8)).loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    recomputed = shaped()
    recomputed.gradient_checkpointing_enable()
    for one, other in zip(gradients(shaped()), gradients(recomputed), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_in_shards_and_loaded_it_is_the_same_to_the_bit(
    tmp_path: Path, tied: bool, dtype: torch.dtype
) -> None:
    model = shaped(tie_word_embeddings=tied).to(dtype)
    saved(model, tmp_path, max_shard_size="6KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert type(loaded) is ShapedLlamaForCausalLM
    assert equal_bits(model, loaded)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied


def test_lora_trains_every_layer_merges_and_keeps_the_code_when_saved(tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(saved(shaped(), tmp_path / "base"))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    adapted(tokens(2, 8), labels=tokens(2, 8)).loss.backward()
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad and p.grad is not None]
    assert len(trained) == 2 * 7 * 3
    with_adapter = adapted(tokens(1, 9)).logits
    merged = adapted.merge_and_unload()
    assert (merged(tokens(1, 9)).logits - with_adapter).abs().max() < 1e-4
    again = saved(merged, tmp_path / "merged")
    assert (again / "shaped.py").read_bytes() == Path(module.__file__).read_bytes()
    assert json.loads((again / "config.json").read_text())["auto_map"] == {
        "AutoConfig": "shaped.ShapedLlamaConfig",
        "AutoModel": "shaped.ShapedLlamaModel",
        "AutoModelForCausalLM": "shaped.ShapedLlamaForCausalLM",
        "AutoModelForSequenceClassification": "shaped.ShapedLlamaForSequenceClassification",
        "AutoModelForTokenClassification": "shaped.ShapedLlamaForTokenClassification",
    }


@pytest.mark.parametrize(
    ("widths", "output"),
    [
        (WIDTHS[:2], "have num_hidden_layers = 3 entries"),
        ("wide", "have num_hidden_layers = 3 entries, and is wide"),
        ([*WIDTHS[:2], 3], r"layer_widths\[2\] is 3"),
        ([*WIDTHS[:2], [3, 2, 7]], r"layer_widths\[2\]: 3 heads cannot share 2 kv heads evenly"),
        ([*WIDTHS[:2], [3, 3, 0]], r"layer_widths\[2\] is \[3, 3, 0\]"),
        ([*WIDTHS[:2], [3, 3]], r"layer_widths\[2\] is \[3, 3\]"),
        ([[True, 1, 4], *WIDTHS[1:]], r"layer_widths\[0\] is \[True, 1, 4\]"),
    ],
)
def test_widths_that_make_no_sense_are_refused(widths: Any, output: str) -> None:
    with pytest.raises(ValueError, match=output):
        ShapedLlamaConfig(**PLAIN_SIZES, layer_widths=widths)


def test_a_model_needs_widths() -> None:
    with pytest.raises(ValueError, match="needs layer_widths"):
        model_of(ShapedLlamaConfig(**PLAIN_SIZES))


def test_heads_need_not_divide_the_residual_width(tmp_path: Path) -> None:
    config = ShapedLlamaConfig(**{**PLAIN_SIZES, "num_attention_heads": 6}, layer_widths=WIDTHS)
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).layer_widths == WIDTHS


def test_the_file_that_travels_imports_only_torch_and_transformers() -> None:
    nodes = list(ast.walk(ast.parse(Path(module.__file__).read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= {"copy", "typing", "torch", "transformers"}
