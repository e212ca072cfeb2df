"""An adapter merged as a stream equals peft's merge of the whole model in fp32, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from tailored_llama.checkpoint import ModelWeights, Weights, merge_weights
from tailored_llama.errors import TuneError
from tests.support.adapters import trained
from tests.support.pico import family_of, model_of, pico_config, plain

PATTERNS = {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"down_proj": 5}}
"""Updates of matrices, read one by one."""
STREAMED: dict[str, dict[str, Any]] = {
    "plain": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}, "patterns": PATTERNS,
    "all": {"target_modules": "all-linear"}, "some layers": {"layers_to_transform": [1]},
}  # fmt: skip
AT_ONCE: dict[str, dict[str, Any]] = {
    "biases": {"bias": "all"}, "a module": {"modules_to_save": ["norm"]},
    "single tokens": {"trainable_token_indices": [1, 5]},
    "embedding and head": {"target_modules": ["embed_tokens", "lm_head", "o_proj"]},
}  # fmt: skip


def values(weights: Weights) -> dict[str, torch.Tensor]:
    return {name: weights.tensor(name) for name in weights.names()}


def reference(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    adapted = PeftModel.from_pretrained(copy.deepcopy(model).float(), str(folder))
    merged: PreTrainedModel = adapted.merge_and_unload().to(model.dtype)
    return merged


@pytest.mark.parametrize("changes", [*STREAMED.values(), *AT_ONCE.values()], ids=[*STREAMED, *AT_ONCE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_merge_of_the_whole_model(
    changes: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    model = plain(attention_bias=True).to(dtype)
    folder = trained(tmp_path / "adapter", plain(attention_bias=True), **changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merged = merge_weights(ModelWeights(model), folder, base_unchecked=True)
    for _ in range(2):  # a tensor may be read twice
        found, expected = values(merged), values(ModelWeights(reference(model, folder)))
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert any(not torch.equal(found[name], before[name]) for name in found)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(found[name].dtype == merged.dtype(name) == dtype for name in found)


@pytest.mark.parametrize("case", ["phi3", "gemma2", "llama 3, tied"])
def test_in_other_families(case: str, tmp_path: Path) -> None:
    model, fused = model_of(pico_config(case)), family_of(case) == "phi3"
    targets = ["qkv_proj", "down_proj"] if fused else ["q_proj", "down_proj"]
    folder = trained(tmp_path / "adapter", model_of(pico_config(case)), target_modules=targets)
    found = values(merge_weights(ModelWeights(model), folder, base_unchecked=True))
    expected = values(ModelWeights(reference(model, folder)))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_one_matrix_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was read is kept, and nothing is read before it is requested."""
    model = plain()
    folder = trained(tmp_path / "adapter", plain(), target_modules="all-linear")
    read: list[str] = []
    base = ModelWeights(model)
    tensor = base.tensor
    monkeypatch.setattr(base, "tensor", lambda name: (read.append(name), tensor(name))[1])
    merged = merge_weights(base, folder, base_unchecked=True)
    assert read == []
    name = "model.layers.0.mlp.up_proj.weight"
    first = merged.tensor(name)
    assert {*read} == {name}
    assert merged.tensor(name) is not first
    layer = merged._layers[name]  # type: ignore[attr-defined]
    assert layer.get_base_layer().weight.untyped_storage().nbytes() == 4


def test_a_sum_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    huge = trained(tmp_path / "huge", plain(), lora_alpha=10**39)
    merged = merge_weights(ModelWeights(plain()), huge, base_unchecked=True)
    with pytest.raises(TuneError, match=r"cannot be merged.*contains Inf"):
        merged.tensor("model.layers.1.self_attn.q_proj.weight")
