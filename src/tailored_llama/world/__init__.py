"""The bundled world: a small closed world in plain English, seven tasks in it, and a model trained on it.

Rows, texts and model are frozen files. Light to import: no torch, no transformers. `tools/world` of a
checkout holds the generator of the rows and the training of the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from tailored_llama.errors import TaskError

__all__ = ["GENERATION", "TASKS", "Split", "model_path", "rows", "text"]

Split = Literal["train", "validation", "test"]
TASKS = ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
"""The seven tasks of choices."""
GENERATION = ("tell",)
"""Tasks whose answer is written, not chosen."""
FOLDER = Path(__file__).parent


def rows(name: str, split: Split) -> list[dict[str, Any]]:
    """The rows of task `name`, in the fields of the hub's data set of that name; the caller's own copy.

    Raises TaskError for an unknown task or split.
    """
    known = TASKS + GENERATION
    if name not in known or split not in get_args(Split):
        raise TaskError(f"world/{name}: no such task or split '{split}'; available: {', '.join(known)}")
    lines = (FOLDER / "rows" / f"{name}-{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def text(split: Literal["train", "test"]) -> str:
    """Plain narrative, one story a line; the bundled model was not trained on `test`.

    Raises TaskError for another split.
    """
    if split not in ("train", "test"):
        raise TaskError(f"world text: no split '{split}'; available: train, test")
    return (FOLDER / "text" / f"{split}.txt").read_text(encoding="utf-8")


def model_path() -> Path:
    """The directory of the bundled model: config.json, model.safetensors and its tokenizer."""
    return FOLDER / "model"
