"""Task files: what they render, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailored_llama.data import chance, load_task, task_names
from tailored_llama.errors import DataError, TaskError
from tests.support.tasks import ROWS, TASKS

PROMPTS = ["paper", "harness", "instruct", "choices", "cloze"]
LETTERED = "The owl sleeps by day.\ndoes the owl sleep by day?\nA. no\nB. yes\nAnswer:"
OWN = """
name: mine
metric: acc
scored: test
max_length: 64
fields: [text, kind]
options: "['dull', 'bright']"
gold: kind | int
prompts: {plain: {context: "{{text}} It is"}}
"""


def own(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in OWN
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(old, new))
    return path


def test_seven_real_tasks_the_worlds_seven_and_the_one_that_is_written() -> None:
    assert task_names() == sorted([*TASKS, *(f"world_{name}" for name in TASKS), "world_tell"])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_the_five_wordings_and_its_world_twin_has_the_same(name: str) -> None:
    task, twin = load_task(name), load_task(f"world_{name}")
    assert list(task.prompts) == PROMPTS
    assert (twin.prompts, twin.metric, twin.fields) == (task.prompts, task.metric, task.fields)
    assert twin.source is not None
    assert twin.source.world == name
    assert twin.name == f"world_{name}"


def test_metrics_and_splits_are_those_of_the_published_tables() -> None:
    tasks = [load_task(name) for name in TASKS]
    assert {t.name for t in tasks if t.metric == "acc_norm"} == {"hellaswag", "arc_challenge", "openbookqa"}
    assert {t.name for t in tasks if t.scored == "test"} == {"arc_easy", "arc_challenge", "openbookqa"}


@pytest.mark.parametrize(
    ("name", "prompt", "context", "answers", "gold"),
    [
        ("boolq", "paper", "Passage: The owl sleeps by day.\nQuestion: does the owl sleep by day\nAnswer:",
         (" no", " yes"), 1),
        ("boolq", "choices", LETTERED, (" A", " B"), 1),
        ("piqa", "paper", "Question: To wake an owl,\nAnswer:", (" wait for the night.", " shout."), 0),
        ("hellaswag", "paper", "Question: Owls: An owl wakes. Look. She\nAnswer:",
         (" sings a song.", " flies away.", " is a fish.", " reads."), 1),
        ("winogrande", "paper", "Instruction: The owl fled from the cat as _ was hungry.\n"
         "Input: 1: the owl\n2: the cat\nResponse:", (" 1", " 2"), 1),
        ("arc_easy", "cloze", "Which one flies? The answer is", (" a cat", " dogs", " the small owl"), 2),
        ("openbookqa", "harness", "At night you may hear", (" a cat", " dogs", " the small owl"), 2),
    ],
)  # fmt: skip
def test_wordings(name: str, prompt: str, context: str, answers: tuple[str, ...], gold: int) -> None:
    example = load_task(name).render(prompt, ROWS[name])
    assert set(example.contexts) == {context}
    assert (example.answers, example.gold) == (answers, gold)
    assert (example.context, example.answer) == (context, answers[gold])
    assert example.lengths == tuple(len(answer) - 1 for answer in answers)


def test_partial_evaluation_compares_contexts() -> None:
    example = load_task("winogrande").render("harness", ROWS["winogrande"], 5)
    start = "The owl fled from the cat as "
    assert example.contexts == (start + "the owl", start + "the cat")
    assert example.answers == (" was hungry.", " was hungry.")
    assert (example.context, example.row) == (start + "the cat", 5)


def test_chance_is_the_mean_over_questions() -> None:
    three = load_task("arc_easy").render("paper", ROWS["arc_easy"])
    four = load_task("hellaswag").render("paper", ROWS["hellaswag"])
    assert chance([three, four]) == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_a_task_file_of_ones_own(tmp_path: Path) -> None:
    task = load_task(own(tmp_path))
    assert task.render("plain", {"text": "Snow.", "kind": "1"}).answer == " bright"


@pytest.mark.parametrize(
    ("old", "new", "output"),
    [
        ("metric:", "metrik:", r"mine.yaml: unknown key 'metrik' \(did you mean 'metric'\?\)"),
        ("{context:", "{kontext:", r"unknown key 'prompts.plain.kontext' \(did you mean 'context'\?\)"),
        ("scored: test", "scored: train", "mine.yaml: scored: "),
        ("max_length: 64", "", "'max_length' is missing"),
        ("{{text}}", "{{txt}}", r"prompt 'plain' reads an unknown field 'txt' \(did you mean 'text'\?\)"),
        ("kind | int", "kin | int", r"gold reads an unknown field 'kin' \(did you mean 'kind'\?\)"),
        ("{{text}}", "{{text}", "not valid Jinja2"),
        ("name: mine", "extends: bolq", r"no bundled task 'bolq' \(did you mean 'boolq'\?\)"),
        (OWN, "[1, 2]", "a mapping of keys"),
        (OWN, "a: [1", "not valid YAML"),
        ("fields:", "source: {hub: a/b, world: boolq}\nfields:", "name one of files, hub and world"),
        ('{context: "', '{contexts: "[text]", context: "', "or contexts and one answer"),
    ],
)
def test_a_task_file_that_is_wrong(tmp_path: Path, old: str, new: str, output: str) -> None:
    with pytest.raises(TaskError, match=output) as caught:
        load_task(own(tmp_path, old, new))
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(TaskError, match=r"no task 'bolq' \(did you mean 'boolq'\?\)"):
        load_task("bolq")
    with pytest.raises(TaskError, match=r"nowhere.yaml: no such task file"):
        load_task("nowhere.yaml")
    with pytest.raises(TaskError, match=r"no prompt 'harnes' \(did you mean 'harness'\?\)"):
        load_task("boolq").render("harnes", ROWS["boolq"])


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"text": None}, r"row 3: field 'text' of task mine is missing"),
        ({"kind": 2}, r"row 3: the label of task mine gives 2, which is none of its 2 options"),
        ({"kind": -1}, "the label of task mine gives -1"),
        ({"kind": "blue"}, r"row 3: 'gold' of task mine: invalid literal"),
    ],
)
def test_a_row_that_is_wrong(tmp_path: Path, change: dict[str, Any], output: str) -> None:
    with pytest.raises(DataError, match=output):
        load_task(own(tmp_path)).render("plain", {"text": "Snow.", "kind": 0} | change, 2)


@pytest.mark.parametrize("name", ["piqa", "arc_easy", "hellaswag"])
def test_an_empty_choice(name: str) -> None:
    empty = {"sol2": " "} if name == "piqa" else {"endings": ["[step]", "b"]}
    if name == "arc_easy":
        empty = {"choices": {"text": ["a", "", "c"], "label": ["A", "B", "C"]}}
    with pytest.raises(DataError, match=r"row 1: task \w+: choice [01] is empty"):
        load_task(name).render("paper", ROWS[name] | empty)


def test_a_row_that_is_changed_after_it_was_read_is_read_anew() -> None:
    task, row = load_task("arc_easy"), dict(ROWS["arc_easy"])
    assert task.render("paper", row).gold == task.label(row) == 2
    row["answerKey"] = "A"
    assert task.render("paper", row).gold == task.label(row) == 0


def test_a_sentence_without_a_gap() -> None:
    with pytest.raises(DataError, match="row 1: 'after' of task winogrande"):
        load_task("winogrande").render("paper", ROWS["winogrande"] | {"sentence": "No gap."})


def test_templates_cannot_reach_python(tmp_path: Path) -> None:
    path = own(tmp_path, "{{text}}", "{{text.__class__.__mro__}}")
    with pytest.raises(DataError, match="prompt 'plain'"):
        load_task(path).render("plain", {"text": "Snow.", "kind": 0})
