"""The vLLM plugin against stand-ins for what it uses of vLLM, which cannot be installed beside our torch."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig

from tests.support import ROOT
from tests.support.pico import ODD, layered


class Layer(nn.Module):
    """Takes what vLLM's decoder layer takes, and fuses what it fuses: q, k and v; gate and up."""

    def __init__(self, vllm_config: Any, prefix: str = "", config: Any = None) -> None:
        super().__init__()
        heads, hidden = config.num_attention_heads * config.head_dim, config.hidden_size
        both = heads + 2 * config.num_key_value_heads * config.head_dim
        self.self_attn = nn.ModuleDict({"qkv_proj": linear(hidden, both), "o_proj": linear(heads, hidden)})
        wide = config.intermediate_size
        self.mlp = nn.ModuleDict(
            {"gate_up_proj": linear(hidden, 2 * wide), "down_proj": linear(wide, hidden)}
        )
        self.prefix = prefix


class CausalLM(nn.Module):
    def __init__(self, *, vllm_config: Any, prefix: str = "", layer_type: type[Any] = Layer) -> None:
        super().__init__()
        layers = range(vllm_config.model_config.hf_config.num_hidden_layers)
        made = [layer_type(vllm_config=vllm_config, prefix=f"model.layers.{layer}") for layer in layers]
        self.model = nn.ModuleDict({"layers": nn.ModuleList(made)})


def linear(columns: int, rows: int) -> nn.Linear:
    return nn.Linear(columns, rows, bias=False)


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(contents)
    return made


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What has been registered with the stand-in for vLLM."""
    models: dict[str, str] = {}
    registry = SimpleNamespace(register_model=models.__setitem__)
    fakes = [
        module("vllm", ModelRegistry=registry),
        module("vllm.model_executor"),
        module("vllm.model_executor.models"),
        module("vllm.model_executor.models.llama", LlamaDecoderLayer=Layer, LlamaForCausalLM=CausalLM),
        module(
            "vllm.model_executor.models.utils", extract_layer_index=lambda prefix: int(prefix.split(".")[-1])
        ),
    ]
    for fake in fakes:
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    yield models
    sys.modules.pop("tailored_llama.integrations.vllm.model", None)


def entry_point() -> Any:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    where, _, name = project["entry-points"]["vllm.general_plugins"]["tailored_llama"].partition(":")
    return getattr(importlib.import_module(where), name)


def model_class(registered: dict[str, str]) -> Any:
    entry_point()()
    where, _, name = registered["ShapedLlamaForCausalLM"].partition(":")
    return getattr(importlib.import_module(where), name)


def test_the_entry_point_registers_the_architecture_that_checkpoints_name(registered: dict[str, str]) -> None:
    entry_point()()
    entry_point()()  # vLLM calls it in each process, and may call it again
    config = layered(ODD).config
    assert config.architectures == list(registered)
    assert AutoConfig.for_model(config.model_type, layer_widths=config.layer_widths, num_hidden_layers=3)


def test_every_weight_has_its_place_in_the_fused_layers(registered: dict[str, str]) -> None:
    model = layered(ODD)
    served = model_class(registered)(
        vllm_config=SimpleNamespace(model_config=SimpleNamespace(hf_config=model.config))
    )
    rows = {name: parameter.shape for name, parameter in served.named_parameters()}
    fused = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
    state = model.state_dict()
    for name, shape in rows.items():
        stem, kind = name.removesuffix(".weight").rsplit(".", 1)
        parts = [state[f"{stem}.{part}.weight"] for part in fused.get(kind, (kind,))]
        assert torch.cat(parts).shape == shape, name
    assert len(rows) == 4 * len(ODD)


def test_the_config_that_layers_share_is_left_alone(registered: dict[str, str]) -> None:
    config = layered(ODD).config
    before = config.to_dict()
    model_class(registered)(vllm_config=SimpleNamespace(model_config=SimpleNamespace(hf_config=config)))
    assert config.to_dict() == before
