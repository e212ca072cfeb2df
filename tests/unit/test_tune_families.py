"""Adapters are on every projection of every layer, whatever a family calls them."""

from __future__ import annotations

import pytest
import torch
from family_picos import OWN, pico
from transformers import AutoModelForCausalLM

from tailored_llama.recipe import Lora
from tailored_llama.tune.adapter import attach


@pytest.mark.parametrize("case", OWN)
def test_no_projection_goes_without_an_adapter(case: str) -> None:
    model = AutoModelForCausalLM.from_config(pico(case))
    projections = {
        id(module) for module in model.get_decoder().modules() if isinstance(module, torch.nn.Linear)
    }
    adapted = attach(model, Lora(r=2, alpha=4))
    held = {id(m.base_layer) for m in adapted.modules() if hasattr(m, "lora_A")}
    assert held == projections
