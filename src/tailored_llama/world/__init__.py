"""The bundled world: a small closed world described in plain English, its tasks, and a model trained on it.

Rows, texts and model are frozen files. The import is fast: no torch, no transformers. `tools/world` in a
checkout contains the generator of the rows and the training of the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from tailored_llama.errors import TaskError
from tailored_llama.strict_json import Json

__all__ = ["GENERATION", "PREFIX", "TASKS", "Split", "model_path", "rows", "text"]

Split = Literal["train", "validation", "test"]
TASKS = ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
"""The seven multiple-choice tasks."""
GENERATION = ("tell",)
"""Generation tasks."""
PREFIX = "world_"
"""The names of its tasks begin with this."""
FOLDER = Path(__file__).parent


def rows(name: str, split: Split) -> list[dict[str, Json]]:
    """The rows of task `name`, with the fields of the hub's data set of that name; a new copy for each call.

    Raises TaskError for an unknown task or split.
    """
    names = TASKS + GENERATION
    if name not in names or split not in get_args(Split):
        raise TaskError(f"world/{name}: no such task or split '{split}'; available: {', '.join(names)}")
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
