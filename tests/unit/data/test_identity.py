"""Which rows ask the same question: the guard between splits, and one file that is divided."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailored_llama.cli import execute
from tailored_llama.data import NoSplitError, load_task
from tailored_llama.data.identity import Identity, divide, normalised, repeated
from tailored_llama.data.shots import draw, draw_shots
from tailored_llama.data.task import Task
from tailored_llama.errors import DataError, TaskError
from tailored_llama.recipe import Tune
from tailored_llama.stage.inputs import task_inputs
from tests.support.tasks import ROWS

HEAD = "metric: acc\nscored: test\nmax_length: 64\nsource: {files: .}\n"
NLI = (
    HEAD
    + """
fields: [premise, hypothesis, label]
options: "['no', 'yes']"
gold: label | int
prompts:
  short: {context: "{{ premise }} So?"}
  whole: {context: "{{ premise }} So {{ hypothesis }}?"}
"""
)
WRITTEN = (
    HEAD.replace("acc", "f1")
    + """
kind: generation
fields: [question, answer]
references: "[answer]"
prompts: {plain: {context: "{{ question }}"}}
"""
)
CHOICES = (
    HEAD
    + """
fields: [question, choices, label]
options: choices
gold: label | int
prompts: {plain: {context: "{{ question }}"}}
"""
)
ONLY_OPTIONS = (
    HEAD
    + """
fields: [good, bad]
options: "[good, bad]"
gold: "0"
prompts: {plain: {context: ""}, pick: {context: "Which is right? {{ good }} or {{ bad }}?"}}
"""
)


def own(directory: Path, text: str) -> Task:
    path = directory / f"t{len(list(directory.iterdir()))}.yaml"
    path.write_text(text)
    return load_task(path)


def same(task: Task, one: dict[str, Any], other: dict[str, Any]) -> bool:
    return draw(task, [one, one], 0, 1, scored=[other]).dropped == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("piqa", {"sol1": "shout.", "sol2": "wait for the night.", "label": 1}),
        ("piqa", {"sol2": "sing."}),
        ("arc_easy", {"choices": {"text": ["dogs", "a cat", "the small owl"], "label": ["A", "B", "C"]}}),
        ("arc_easy", {"choices": {"text": ["a hen", "dogs", "an owl"], "label": ["A", "B", "C"]}}),
        ("openbookqa", {"choices": {"text": ["hen", "the owl"], "label": ["A", "B"]}, "answerKey": "B"}),
        ("hellaswag", {"endings": ["is a hen.", "flies away."]}),
        ("winogrande", {"option1": "the cat", "option2": "the owl", "answer": "1"}),
        ("boolq", {"label": 0}),
        ("boolq", {"passage": " the OWL sleeps  by day"}),
    ],
)  # fmt: skip
def test_options_and_labels_are_no_part_of_a_question(name: str, change: dict[str, Any]) -> None:
    assert same(load_task(name), ROWS[name], ROWS[name] | change)


@pytest.mark.parametrize(
    ("name", "change"),
    [("piqa", {"goal": "To wake a cat,"}), ("boolq", {"question": "does the owl sleep"}),
     ("boolq", {"passage": "The owl sleeps by day 😀."}), ("hellaswag", {"ctx_b": "he"}),
     ("winogrande", {"sentence": "The owl fled from the cat as _ was angry."})],
)  # fmt: skip
def test_another_input_is_another_question(name: str, change: dict[str, Any]) -> None:
    assert not same(load_task(name), ROWS[name], ROWS[name] | change)


def test_a_reference_in_other_words(tmp_path: Path) -> None:
    row = {"question": "Who sings?", "answer": "Ada"}
    assert same(own(tmp_path, WRITTEN), row, row | {"answer": "It is Ada."})
    assert not same(own(tmp_path, WRITTEN), row, row | {"question": "Who sang?"})


def test_every_text_that_some_wording_shows_counts(tmp_path: Path) -> None:
    task = own(tmp_path, NLI)
    row = {"premise": "It rains.", "hypothesis": "it is wet", "label": 1}
    assert not same(task, row, row | {"hypothesis": "it is dry", "label": 0})
    assert same(task, row, row | {"label": 0})
    premise = own(tmp_path, f"{NLI}\nidentity: [premise]")
    assert same(premise, row, row | {"hypothesis": "it is dry", "label": 0})


def test_an_identity_of_derived_values_and_of_lists(tmp_path: Path) -> None:
    task = own(tmp_path, f"{NLI}let: {{both: premise ~ hypothesis}}\nidentity: [both]")
    row = {"premise": "It ", "hypothesis": "rains", "label": 1}
    assert same(task, row, row | {"premise": "", "hypothesis": "It rains"})
    with pytest.raises(TaskError, match=r"identity reads an unknown field 'premis' \(did you mean 'premise'"):
        own(tmp_path, f"{NLI}\nidentity: [premis]")
    listed = own(tmp_path, f"{CHOICES}\nidentity: [choices]")
    row = {"question": "Which?", "choices": ["a", "b"], "label": 0}
    assert same(listed, row, row | {"question": "What?", "choices": ["B", "a"]})
    assert not same(listed, row, row | {"choices": ["a", "c"]})


def test_an_instruction_that_many_rows_share_is_no_question(tmp_path: Path) -> None:
    task = own(tmp_path, CHOICES)
    rows = [{"question": "Which is true?", "choices": [f"a{n}", f"b{n}"], "label": 0} for n in range(6)]
    assert draw(task, rows[:4], 4, 1, scored=rows[4:]).dropped == 0
    leaks = [rows[0] | {"choices": ["b0.", "A0"]}, rows[1] | {"choices": ["x", "a1"]}]
    assert draw(task, rows, 4, 1, scored=leaks).dropped == 2
    # Two rows alone may be one question whose options are worded otherwise.
    assert same(task, rows[0], rows[1])


@pytest.mark.parametrize("prompt", ["plain", "pick"])
def test_where_only_options_are_shown_they_are_the_question(tmp_path: Path, prompt: str) -> None:
    first, last = ONLY_OPTIONS.index("plain"), ONLY_OPTIONS.index("pick")
    text = (
        ONLY_OPTIONS[:last].rstrip(", ") + "}"
        if prompt == "plain"
        else ONLY_OPTIONS[:first] + ONLY_OPTIONS[last:]
    )
    task, row = own(tmp_path, text), {"good": "He sings.", "bad": "He sing."}
    assert same(task, row, {"good": "He sing.", "bad": "He sings."})
    assert not same(task, row, {"good": "She runs.", "bad": "She run."})


@pytest.mark.parametrize("name", [*ROWS, "world_tell"])
def test_the_inputs_of_the_bundled_tasks(name: str) -> None:
    inputs = {
        "boolq": ("passage", "question"), "piqa": ("goal",), "winogrande": ("sentence",),
        "hellaswag": ("activity_label", "ctx_a", "ctx_b"), "openbookqa": ("question_stem",),
    }  # fmt: skip
    assert load_task(name)._identity == Identity(inputs.get(name, ("question",)))


ALIKE = [
    ("Passage 3.", "  PASSAGE   3"), ("The rain, alas, ruined", "The rain alas ruined"), ("don’t", "don't"),
    ("é", "e\u0301"), ("ＡＢＣ", "abc"), ('"Hello there."', "Hello there"), ("“Hello”", "Hello."),
    ("Really?!", "really"), ("wait...", "wait…"), ("你好。", "你好"), ("a\u200bb", "ab"), ("ﬁne", "fine"),
    ("well–known", "well-known"), ("Straße", "STRASSE"), ("यह अच्छा है।", "यह अच्छा है"), ("x\u00a0y", "x y"),
    ("Qui ?", "Qui?"), ("¿Qué?", "qué"), ("50%.", "50%"), ('he said "no."', 'he said "no"'),
]  # fmt: skip
APART = [
    ("2.5 mg", "25 mg"), ("-5", "5"), ("+", "-"), ("C++", "C"), ("C#", "C"), ("great 😀", "great 😢"),
    ("great 😀", "great"), ("ok :)", "ok :("), ("ok :)", "ok"), ("कि", "का"), ("कि", "क"), ("x<3", "x>3"),
    ("x²", "x2"), ("½", "1/2"), ("5!", "5"), ("50%", "50"), ("3,5", "35"), ("10:30", "1030"), ("①", "1"),
    ("a*b", "ab"), ("$5", "5"), ("👍🏽", "👍🏿"), ("กา", "กี"), ("คุณ", "คณ"), ("e", "é"), (".5", "5"),
    ("🇫🇷", "🇩🇪"), ("(;", "("), ("", ":"), ("if (a)", "if a"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_texts_that_differ_in_form(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_texts_that_differ_in_marks_and_symbols(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_division_is_seeded_and_leaks_nothing(numbers: list[int], share: float, seed: int) -> None:
    task = load_task("piqa")
    rows = [
        {"goal": f"Goal {n}", "sol1": f"a{i}", "sol2": f"b{i}", "label": 0} for i, n in enumerate(numbers)
    ]
    requested = [task.question(row) for row in rows]
    first, second = divide(requested, share, seed)
    assert (first, second) == divide(requested, share, seed)
    assert sorted(first + second) == list(range(len(rows)))
    assert not any(repeated([requested[i] for i in first], [requested[i] for i in second]))
    largest = max(numbers.count(n) for n in numbers)
    if largest == 1:
        assert len(first) == min(max(round(share * len(rows)), 1), len(rows) - 1)
    if len(set(numbers)) > 1 and len({*numbers}) == len(numbers):
        assert first
        assert second


def divided(directory: Path, source: str, count: int = 40) -> Task:
    """A task whose rows, two of each question, stand in one CSV file."""
    with (directory / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "choices", "label"])
        for number in range(count):
            options = [f"x{number}", f"y{number}"]
            writer.writerow([f"Which, {number}?", json.dumps(options), 0])
            writer.writerow([f"which {number}", json.dumps(options[::-1]), 1])
    return own(directory, CHOICES.replace("{files: .}", source))


def test_one_file_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = divided(tmp_path, "{file: rows.csv, split: 0.75}")
    train, scored = task.rows("train"), task.rows("scored")
    assert (len(train), len(scored)) == (60, 20)
    assert draw_shots(task, Tune(shots=60), seed=1, data=None).dropped == 0
    assert (task.rows("train"), task.rows("test")) == (train, scored)
    assert divided(tmp_path, "{file: rows.csv, split: 0.75, seed: 1}").rows("train") != train
    assert len(divided(tmp_path, "{file: rows.csv}").rows("train")) == 64
    with pytest.raises(
        NoSplitError, match=r"rows.csv: task \w+ divides it into train and test; there is no val"
    ):
        task.rows("validation")
    (tmp_path / "others.csv").write_text((tmp_path / "rows.csv").read_text())
    assert task.rows("scored", tmp_path / "others.csv") == scored


def test_one_file_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    divided(tmp_path, "{file: rows.csv, split: 0.75}")
    path = next(tmp_path.glob("*.yaml"))
    assert execute(["prompts", "show", str(path)]) == 0
    assert "hich" in capsys.readouterr().out
    (tmp_path / "rows.csv").write_text('question,choices,label\na,"[1, 2]",0\nb,"[1, 2]",5\n')
    assert execute(["prompts", "show", str(path)]) == 2
    assert "rows.csv, row 2: the label of task" in capsys.readouterr().err


def test_a_file_that_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"all 2 rows have the same question.*identity: \[FIELD"):
        divided(tmp_path, "{file: rows.csv}", count=1).rows("train")
    for name in ("nowhere.csv", "."):
        with pytest.raises(DataError, match=r"is not a file; name a file of rows, or correct source:"):
            divided(tmp_path, f"{{file: {name}}}").rows("train")
    with pytest.raises(
        DataError, match=r"is not a directory; .*to divide one file, write source: \{file: FILE"
    ):
        load_task("piqa").rows("train", tmp_path / "rows.csv")


def test_a_scored_split_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    task = own(tmp_path, NLI)
    (tmp_path / "train.csv").write_text("premise,hypothesis,label\na,b,1\nc,d,0\n")
    assert draw_shots(task, Tune(shots=2), seed=1, data=None).dropped == 0
    (tmp_path / "test.csv").write_text("premise,hypothesis,label\na,b,b,1\n")
    with pytest.raises(DataError, match=r"test.csv, row 1 \(line 2\): 4 cells for 3 fields"):
        draw_shots(task, Tune(shots=2), seed=1, data=None)


def test_all_rows_are_scored_too(tmp_path: Path) -> None:
    task = own(tmp_path, NLI)
    row = {"premise": "a", "hypothesis": "b", "label": 1}
    with pytest.raises(
        DataError, match=r"has 0 training rows \(2 more .*\); provide other rows, or name .* identity"
    ):
        draw(task, [row, row], 1, 1, scored=[row])


def test_a_stage_depends_on_the_files_of_rows_alone(tmp_path: Path) -> None:
    task = own(tmp_path, NLI)
    (tmp_path / "train.csv").write_text("premise,hypothesis,label\na,b,1\n")
    before = task_inputs(task, None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("{}")
    assert task_inputs(task, None) == before
    (tmp_path / "test.jsonl").write_text("")
    assert task_inputs(task, None) != before
