"""General instructions: what a model is tuned on that is tailored to no task, for comparison.

Rows have `instruction`, `input` (may be empty) and `output`, as those of Alpaca, which LLM-Pruner tunes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tailored_llama import world
from tailored_llama.data.rows import Source
from tailored_llama.data.task import Prompt, Task
from tailored_llama.errors import DataError

NAME = "general"
WORDING = "instruct"
FIELDS = ("instruction", "input", "output")
TEMPLATE = (
    "### Instruction:\n{{instruction}}\n\n{% if input %}### Input:\n{{input}}\n\n{% endif %}### Response:\n"
)


def general_task(directory: Path, max_length: int = 256) -> Task:
    """A generation task over the `train.jsonl` in `directory`; it has no scored rows."""
    return Task(
        name=NAME, about="General instructions, of no task.", metric="rougeL", scored="test",
        max_length=max_length, fields=FIELDS, let={}, kind="generation", references="[output]",
        prompts={WORDING: Prompt(WORDING, context=TEMPLATE, answers="references[:1]", delimiter="")},
        source=Source(files=str(directory)),
    )  # fmt: skip


def read_instructions(path: Path) -> list[dict[str, str]]:
    """The rows of a JSON-lines file, or of a JSON file that is one list; without `input` it is empty.

    Raises DataError naming the file, and the row (from 1) that lacks an instruction or an output.
    """
    try:
        text = path.read_text(encoding="utf-8")
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: no readable JSON lines ({reason}); name a file of instructions") from None
    return [_row(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _row(row: Any, place: str) -> dict[str, str]:
    if not isinstance(row, dict):
        raise DataError(f"{place}: a row is a JSON object with {', '.join(FIELDS)}; this is none")
    for field in ("instruction", "output"):
        if not str(row.get(field) or "").strip():
            raise DataError(f"{place}: '{field}' is missing or empty; fill it or take the row out")
    return {field: str(row.get(field) or "") for field in FIELDS}


def world_instructions() -> list[dict[str, str]]:
    """Instructions about the bundled world's stories, one a story of its training text: to go on with it, to
    say how it ends, to repeat its first sentence. None is a question of a task.
    """
    return [
        row for number, story in enumerate(world.text("train").splitlines()) for row in _about(story, number)
    ]


def _about(story: str, number: int) -> Iterator[dict[str, str]]:
    sentences = [part.strip().removesuffix(".") + "." for part in story.split(". ")]
    if len(sentences) < 3:
        return
    middle = len(sentences) // 2
    yield (
        {"instruction": "Go on with the story.", "input": " ".join(sentences[:middle]),
         "output": sentences[middle]},
        {"instruction": "How does the story end?", "input": " ".join(sentences), "output": sentences[-1]},
        {"instruction": "Repeat the first sentence.", "input": " ".join(sentences), "output": sentences[0]},
    )[number % 3]  # fmt: skip
