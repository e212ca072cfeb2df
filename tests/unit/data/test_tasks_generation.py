"""Tasks whose answers are written: what their files say, what they render, what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailored_llama.cli import execute
from tailored_llama.data import chance, load_task
from tailored_llama.errors import DataError, TaskError

ROW = {"id": "0", "question": "What does the fox eat?", "answer": "The fox eats honey."}
OWN = """
kind: generation
metric: f1
scored: test
max_length: 64
fields: [text, names]
references: names
generation: {max_new_tokens: 8}
prompts: {plain: {context: "{{text}} Who?"}}
"""


def own(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in OWN
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(old, new))
    return path


def test_the_worlds_sentences_in_their_two_wordings() -> None:
    task = load_task("world_tell")
    assert (task.kind, task.metric, list(task.prompts)) == (
        "generation",
        "exact_match",
        ["harness", "instruct"],
    )
    harness, instruct = (task.render(name, ROW) for name in task.prompts)
    assert harness.context == "Tell in a sentence: What does the fox eat?\nSentence:"
    assert harness.answer == " The fox eats honey."
    assert instruct.context == (
        "### Instruction:\nAnswer the question in a whole sentence.\n\n### Input:\nWhat does the fox eat?\n\n"
        "### Response:\n"
    )
    assert instruct.answer == "The fox eats honey."
    assert harness.references == instruct.references == ("The fox eats honey.",)


def test_the_first_of_several_right_answers_is_the_one_to_learn(tmp_path: Path) -> None:
    task = load_task(own(tmp_path))
    example = task.render("plain", {"text": "Ada sings.", "names": ["Ada", "she"]})
    assert (example.contexts, example.answers) == (("Ada sings. Who?",), (" Ada",))
    assert example.references == ("Ada", "she")
    assert task.label({"text": "x", "names": ["y"]}) == 0
    assert (task.generation.max_new_tokens, task.generation.stop) == (8, ("\n",))


def test_guessing_writes_nothing_right(tmp_path: Path) -> None:
    written = load_task(own(tmp_path)).render("plain", {"text": "Ada sings.", "names": ["Ada"]})
    picked = load_task("boolq").render("paper", {"passage": "a", "question": "b", "label": 1})
    assert chance([written]) == 0
    assert chance([written, picked]) == 0.25


@pytest.mark.parametrize(
    ("old", "new", "output"),
    [
        (
            "metric: f1",
            "metric: acc",
            "mine.yaml: metric: a task of kind generation needs one of exact_match, f1",
        ),
        ("metric: f1", "metric: bleu", "mine.yaml: metric: "),
        ("references: names", "", "'references' is missing; a task of kind generation needs references"),
        ("kind: generation", "", "'options' is missing; a task of kind choice needs options and gold"),
        (
            "references: names",
            "references: names\noptions: names",
            "'options' is not a key of a task of kind gen",
        ),
        ('Who?"', 'Who?", answers: names', "prompts.plain: a prompt of a generation task has only"),
        ("references: names", "references: nams", r"references reads an unknown field 'nams' \(did you mean"),
        (
            "max_new_tokens: 8",
            "max_tokens: 8",
            r"unknown key 'generation.max_tokens' \(did you mean 'max_new",
        ),
        ("max_new_tokens: 8", "max_new_tokens: 0", "generation.max_new_tokens: "),
    ],
)
def test_a_task_file_that_is_wrong(tmp_path: Path, old: str, new: str, output: str) -> None:
    with pytest.raises(TaskError, match=output) as caught:
        load_task(own(tmp_path, old, new))
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "output"),
    [
        ([], "row 3: 'references' of task mine is an empty list"),
        (["Ada", " "], "row 3: task mine: answer 1 is empty"),
        ("Ada", "'references' of task mine: 'Ada' is not a list"),
    ],
)
def test_a_row_that_is_wrong(tmp_path: Path, names: Any, output: str) -> None:
    with pytest.raises(DataError, match=output):
        load_task(own(tmp_path)).render("plain", {"text": "Ada sings.", "names": names}, 2)


def test_the_worlds_rows_fit_their_task(capsys: pytest.CaptureFixture[str]) -> None:
    task = load_task("world_tell")
    for split in ("train", "validation", "scored"):
        rows = task.rows(split)  # type: ignore[arg-type]
        for name in task.prompts:
            examples = task.examples(name, rows)
            assert all(
                example.answer.strip() == row["answer"] for example, row in zip(examples, rows, strict=True)
            )
            assert all(task.generation.stop[0] not in example.answer for example in examples)
    assert execute(["prompts", "show", "world_tell"]) == 0
    output = capsys.readouterr().out
    assert f"* {task.examples('harness', task.rows('train')[:1])[0].context}[ " in output
