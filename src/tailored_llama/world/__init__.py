"""The bundled world: a small closed world in plain English, seven tasks in it, and a model trained on it.

Light to import: no torch, no transformers. Everything here is made by seed and never read from the network.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

from tailored_llama.world.splits import TASKS, Split, make_rows, make_text

__all__ = ["TASKS", "Split", "model_path", "rows", "text"]


def rows(name: str, split: Split) -> list[dict[str, Any]]:
    """The rows of task `name`, in the fields of the hub's data set of that name; the caller's own copy.

    Raises TaskError for an unknown task or split.
    """
    return copy.deepcopy(list(make_rows(name, split)))


def text(split: Literal["train", "test"]) -> str:
    """Plain narrative, one story a line; `test` is held out of what the bundled model was trained on."""
    return make_text(split)


def model_path() -> Path:
    """The directory of the bundled model: config.json, model.safetensors and its tokenizer."""
    return Path(__file__).parent / "model"
