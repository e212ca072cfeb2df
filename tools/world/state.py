"""Training state on disk, as safetensors: weights, Adam's moments, and progress."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tailored_llama.strict_json import to_json


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Write the state needed to resume; `path` is replaced atomically. `facts` is JSON."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.named_parameters()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor.contiguous() for name, tensor in moments.items()}
    partial = path.with_suffix(".partial")
    tensors = {name: tensor.detach() for name, tensor in tensors.items()}
    save_file(tensors, partial, metadata={"facts": to_json(facts)})
    os.replace(partial, path)


def read_facts(path: Path) -> dict[str, Any]:
    """The `facts` passed to `save_state`."""
    with safe_open(path, "pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    return facts


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    """Restore weights and moments of a model and an optimiser constructed with the same settings."""
    moments: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, "pt", device=device) as file, torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(file.get_tensor(f"model.{name}"))
        for key in file.keys():  # noqa: SIM118 (no mapping)
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = file.get_tensor(key)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
