"""Rows of every task, and small tasks of one's own with their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ARC = {"choices": {"text": ["a cat", "dogs", "the small owl"], "label": ["A", "B", "C"]}, "answerKey": "C"}
ROWS: dict[str, dict[str, Any]] = {
    "boolq": {"passage": "The owl sleeps by day.", "question": "does the owl sleep by day", "label": 1},
    "piqa": {"goal": "To wake an owl,", "sol1": "wait for the night.", "sol2": "shout.", "label": 0},
    "hellaswag": {
        "activity_label": "Owls", "ctx_a": "[header] An owl wakes [title] Look.", "ctx_b": "she",
        "label": "1",
        "endings": ["sings [substeps] a song.", "flies  away.", "is a fish.", "reads."],
    },
    "winogrande": {
        "sentence": "The owl fled from the cat as _ was hungry.", "option1": "the owl", "option2": "the cat",
        "answer": "2",
    },
    "arc_easy": {"question": "Which one flies?", **ARC},
    "arc_challenge": {"question": "Which one flies?", **ARC},
    "openbookqa": {"question_stem": "At night you may hear", **ARC},
}  # fmt: skip
TASKS = tuple(ROWS)
WRITTEN = """
kind: generation
metric: f1
scored: test
max_length: 64
fields: [question, answer]
references: "[answer]"
generation: {max_new_tokens: 12, stop: ["."]}
prompts:
  plain: {context: "{{question}} Answer:"}
  lines: {context: "{{question}}\\n", delimiter: ""}
"""
CHOICE = """
metric: acc
scored: test
max_length: 64
fields: [text, label]
options: "['yes', 'no']"
gold: label | int
prompts:
  plain: {context: "{{ text }}\\nAnswer:"}
  bare: {context: ""}
source: {files: .}
"""
TEXT = "The owl sleeps by day."


def write_split(directory: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    """`rows` as `directory`/`split`.jsonl; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def written_task(folder: Path) -> Path:
    """A task of one's own whose answers are written: its file, with six rows a split beside it.

    So small a model learns no rule, only to write an answer: the questions are much alike.
    """
    for split in ("train", "test"):
        rows = [{"question": f"{split[1]} who is {i}?", "answer": ("owls", "cats")[i % 2]} for i in range(6)]
        write_split(folder, split, rows)
    (folder / "own.yaml").write_text(WRITTEN + "source: {files: .}\n")
    return folder / "own.yaml"


def choice_task(folder: Path, word: str = "owl") -> Path:
    for split in ("train", "test"):
        write_split(folder, split, [{"text": f"{split[1]} {word} {i}", "label": i % 2} for i in range(6)])
    (folder / "choice.yaml").write_text(CHOICE)
    return folder / "choice.yaml"


MOOD = """
metric: acc
scored: test
max_length: 64
fields: [text, mood]
options: "['sad', 'happy']"
gold: options.index(mood)
source: {files: .}
"""
"""The head of a task file of one's own, without its prompts."""
