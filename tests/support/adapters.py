"""Adapters as PEFT itself writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model


def trained(folder: Path, base: Any, **changes: Any) -> Path:
    """An adapter that changes something, as PEFT writes it."""
    own = {"target_modules": ["q_proj", "down_proj"], "r": 2, "task_type": "CAUSAL_LM", **changes}
    adapted = get_peft_model(base, LoraConfig(**own))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    adapted.save_pretrained(str(folder))
    return folder
