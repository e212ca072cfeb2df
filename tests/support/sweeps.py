"""Cells of sweeps."""

from __future__ import annotations

from typing import Any

from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.sweep.cells import cells_of

BASE = {"model": "world", "tasks": ["world_boolq"], "tune": {"prompt": "paper"}}


def cells(**sweep: Any) -> Any:
    return cells_of(load_recipe({**BASE, "sweep": sweep}))
