"""General instructions: training data for a comparison model that is not tailored to a task.

Rows have `instruction`, `input` (may be empty) and `output`, as those of Alpaca, which LLM-Pruner tunes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tailored_llama import world
from tailored_llama.data.formats import as_row, json_lines, parse_json
from tailored_llama.data.prompt import Prompt
from tailored_llama.data.rows import Source
from tailored_llama.data.task import Task
from tailored_llama.data.values import read_value
from tailored_llama.errors import DataError
from tailored_llama.recipe.text import read_text

NAME = "general"
WORDING = "instruct"
FIELDS = ("instruction", "input", "output")
TEMPLATE = (
    "### Instruction:\n{{instruction}}\n\n{% if input %}### Input:\n{{input}}\n\n{% endif %}### Response:\n"
)


def general_task(directory: Path, max_length: int = 256) -> Task:
    """A generation task over the `train.jsonl` in `directory`; it has no scored rows."""
    return Task(
        name=NAME, about="General instructions, independent of any task.", metric="rougeL", scored="test",
        max_length=max_length, fields=FIELDS, let={}, kind="generation", references="[output]",
        prompts={WORDING: Prompt(WORDING, context=TEMPLATE, answers="references[:1]", delimiter="")},
        source=Source(files=str(directory)),
    )  # fmt: skip


def read_instructions(path: Path) -> list[dict[str, str]]:
    """The rows of a JSON-lines file or of a JSON file with one list. A missing `input` becomes "".

    Raises DataError that names the file and the row (from 1) without an instruction or output.
    """
    text = read_text(path)
    try:
        is_list = text.lstrip().startswith("[")
        rows = parse_json(text) if is_list else [value for _, value in json_lines(text)]
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON lines ({error}); name a file of instructions") from None
    return [_row(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _row(row: Any, place: str) -> dict[str, str]:
    fields = {"input": "", **as_row(row, place)}
    result = {}
    for field in FIELDS:
        try:
            value = read_value(fields.get(field), "text or empty")
        except ValueError as error:
            raise DataError(f"{place}: '{field}' {error}; fill it or remove the row") from None
        if isinstance(value, list | dict):
            raise DataError(f"{place}: '{field}' is not text; write it as text or remove the row")
        if field != "input" and not str(value).strip():
            raise DataError(f"{place}: '{field}' is missing or empty; fill it or remove the row")
        result[field] = str(value)
    return result


def world_instructions() -> list[dict[str, str]]:
    """One instruction per story of the bundled world's training text: continue the story, give its end, or
    repeat its first sentence. No task question is among them.
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
