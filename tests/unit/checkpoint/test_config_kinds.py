"""Quantised checkpoints and multimodal wrappers are named for what they are, whatever else is wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING

from tailored_llama.checkpoint import load_config, load_model, open_weights, write_checkpoint
from tailored_llama.errors import CheckpointError, FamilyError
from tailored_llama.progress import note_once
from tests.support.pico import plain, saved

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
AWQ = {"quant_method": "awq", "bits": 4, "version": "gemm", "zero_point": True}
BNB4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
BNB_OLD = {"load_in_8bit": True, "llm_int8_threshold": 6.0}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {}}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
Q, PACKED = "model.layers.0.self_attn.q_proj", torch.ones(4, 4, dtype=torch.int32)
KINDS: dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]] = {
    "fp8": (FP8, {f"{Q}.weight": torch.ones(32, 32).to(torch.float8_e4m3fn)}),
    "gptq": (
        GPTQ,
        {f"{Q}.qweight": PACKED, f"{Q}.g_idx": PACKED[0].clone(), f"{Q}.scales": torch.ones(1, 32)},
    ),
    "awq": (AWQ, {f"{Q}.qweight": PACKED, f"{Q}.qzeros": PACKED.clone()}),
    "bitsandbytes": (BNB4, {f"{Q}.weight": torch.ones(512, 1, dtype=torch.uint8)}),
    "bitsandbytes, before its name was written": (BNB_OLD, {f"{Q}.weight": PACKED.to(torch.int8)}),
    "compressed-tensors": (COMPRESSED, {f"{Q}.weight_packed": PACKED}),
    "mxfp4": (MXFP4, {"model.layers.0.mlp.experts.gate_up_proj_blocks": PACKED.to(torch.uint8)}),
}


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("also", [{}, {"twist": 1, "hidden_size": -1}, {"model_type": "gpt_oss"}])
def test_quantised_checkpoints(tmp_path: Path, kind: str, also: dict[str, Any]) -> None:
    directory = saved(plain(), tmp_path)
    description, tensors = KINDS[kind]
    save_file(tensors, directory / "model.safetensors")
    edit(directory, quantization_config=description, **also)
    for read in (open_weights, load_config):
        with pytest.raises(CheckpointError) as caught:
            read(directory)
        output = str(caught.value)
        assert (
            f"config.json: the weights are quantised ({kind.split(',', maxsplit=1)[0]}); name the unquantised"
            in output
        )
        assert "--allow-config" not in output
        assert "\n" not in output


def test_quantised_without_weights_to_look_at(tmp_path: Path) -> None:
    edit(saved(plain(), tmp_path), quantization_config=GPTQ)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"quantised \(gptq\); name the unquantised checkpoint"):
        load_config(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_weights_that_the_config_does_not_speak_of(tmp_path: Path, kind: str) -> None:
    save_file(KINDS[kind][1], saved(plain(), tmp_path) / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"the weights are quantised \(model.*name the unquantised"):
        open_weights(tmp_path)


def test_a_description_of_weights_that_are_not_quantised_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = saved(plain(), tmp_path / "dense")
    edit(directory, quantization_config=GPTQ)
    with caplog.at_level(logging.WARNING, "tailored_llama"):
        for _ in range(2):  # one warning, however often a run opens the model
            weights = open_weights(directory)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "quantization_config (gptq) is ignored: the weights are not quantised"
    )
    assert torch.equal(load_model(directory).lm_head.weight, plain().lm_head.weight)
    write_checkpoint(weights, tmp_path / "out")
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    edit(directory, quantization_config=None)
    assert open_weights(directory).names()


def test_models_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    model = plain()
    model.config.quantization_config = BNB4
    note_once.cache_clear()
    with caplog.at_level(logging.WARNING, "tailored_llama"):
        weights = open_weights(model)
    assert [record.getMessage() for record in caplog.records] == [
        "the model in memory: quantization_config (bitsandbytes) is ignored: the weights are not quantised"
    ]
    assert not hasattr(weights.config, "quantization_config")
    assert model.config.quantization_config == BNB4  # the caller's own is left as it was
    layer = model.model.layers[0].self_attn.q_proj
    layer.weight = torch.nn.Parameter(torch.ones(512, 1, dtype=torch.uint8), requires_grad=False)
    for read in (open_weights, load_model):
        with pytest.raises(CheckpointError, match=r"in memory: the weights are quantised \(bitsandbytes\)"):
            read(model)


WRAPPERS: dict[str, dict[str, Any]] = {
    "gemma3": {"text_config": {"model_type": "gemma3_text"}, "vision_config": {}},
    "mistral3": {"text_config": {"model_type": "mistral"}, "vision_config": {}},
    "llama4": {"text_config": {"model_type": "llama4_text"}, "vision_config": {}},
    "mllama": {"text_config": {"model_type": "mllama_text_model"}, "vision_config": {}},
    "qwen2_vl": {"hidden_size": 8, "vision_config": {"depth": 32}},
    "qwen2_5_vl": {"vision_config": {"depth": 32}},
    "qwen3_5": {"text_config": {"model_type": "qwen3_5_text"}},
    "llava": {"text_config": {"model_type": "llama"}, "vision_config": {}},
    "phi4_multimodal": {"embd_layer": {"image_embd_layer": {}}, "auto_map": {"AutoConfig": "c.C"}},
    "a_new_one": {"text_config": {"model_type": "llama"}, "vision_config": {}},
    "gemma3n": {},
    "idefics3": {},
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_multimodal_wrappers(tmp_path: Path, name: str) -> None:
    content = {"model_type": name, "twist": 1, **WRAPPERS[name]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(FamilyError) as caught:
        load_config(tmp_path)
    output = str(caught.value)
    inner = WRAPPERS[name].get("text_config", {}).get("model_type")
    inside = f" ({inner})" if inner else ""
    assert f"config.json: {name} is a multimodal wrapper around a language model{inside}" in output
    assert "did you mean" not in output
    assert "\n" not in output


def test_every_wrapper_that_transformers_knows(tmp_path: Path) -> None:
    names = ["gemma3", "mistral3", "llama4", "mllama", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "glm4v"]
    for name in names:
        assert name in CONFIG_MAPPING
        (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
        with pytest.raises(FamilyError, match=f"{name} is a multimodal wrapper"):
            load_config(tmp_path)


@pytest.mark.parametrize(("name", "hint"), [("qwen2_moe", False), ("gpt2", False), ("lama", True)])
def test_a_suggestion_is_for_misspelt_names_only(tmp_path: Path, name: str, hint: bool) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    with pytest.raises(FamilyError, match=rf"{name}.*(the nearest is|known: arcee, )") as caught:
        load_config(tmp_path)
    assert ("did you mean 'llama'?" in str(caught.value)) is hint
