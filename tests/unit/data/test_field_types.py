"""A cell is text unless the task file says otherwise, and labels meet their options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.data import load_task
from tailored_llama.data.values import Options, whole_number
from tailored_llama.errors import DataError, TaskError

TASK = """
metric: acc
scored: test
max_length: 64
fields: FIELDS
options: OPTIONS
gold: GOLD
source: {files: .}
prompts: {plain: {context: "{{ text }}"}}
"""


def example(
    directory: Path, cells: dict[str, Any], fields: str, *, options: str = "\"['a', 'b']\"",
    gold: str = '"0"', name: str = "train.csv", task: str = TASK,
) -> Any:  # fmt: skip
    """The first training row in the wording `plain`, of a file with these cells."""
    path = directory / f"t{len(list(directory.iterdir()))}.yaml"
    path.write_text(task.replace("FIELDS", fields).replace("OPTIONS", options).replace("GOLD", gold))
    if name.endswith("csv"):
        quoted = ['"' + str(cell).replace('"', '""') + '"' for cell in cells.values()]
        text = ",".join(cells) + "\n" + ",".join(quoted) + "\n"
    else:
        text = json.dumps(cells)
    (directory / name).write_text(text)
    task = load_task(path)
    return task.examples("plain", task.rows("train"))[0]


VALUES = ['{"name": "Anna", "adult": false, "job": null}', "[1, 2.50]", "2.50", "1e5", "true", "null", "NaN",
          "007", " 1 ", "[]", '["a", "b"]', "None", "0x10", "1_000"]  # fmt: skip


@pytest.mark.parametrize("cell", VALUES)
@pytest.mark.parametrize("fields", ["[text]", "{text: text}", "{text: text or empty}"])
@pytest.mark.parametrize("name", ["train.csv", "train.jsonl"])
def test_text_that_looks_like_a_value_stays_text(tmp_path: Path, cell: str, fields: str, name: str) -> None:
    assert example(tmp_path, {"text": cell}, fields, name=name).context == cell


@pytest.mark.parametrize(
    ("kind", "cell", "template", "shown"),
    [
        ("list", "[1, 2.50, \"x\"]", "{{ text | join(';') }}", "1;2.50;x"),
        ("mapping", '{"name": "Anna", "age": 2}', "{{ text.name }} {{ text.age + 1 }}", "Anna 3"),
        ("number", " 2.5 ", "{{ text * 2 }}", "5.0"),
        ("number", "-3", "{{ text + 1 }}", "-2"),
        ("boolean", "TRUE", "{{ 'yes' if text else 'no' }}", "yes"),
        ("boolean", "0", "{{ 'yes' if text else 'no' }}", "no"),
        ("text or empty", "", "<{{ text }}>", "<>"),
        ("text or list", '["a", "b"]', "{{ text | length }}", "2"),
        ("text or list", '["a", "b"', "{{ text | length }}", "9"),
    ],
)  # fmt: skip
def test_fields_with_a_type(tmp_path: Path, kind: str, cell: str, template: str, shown: str) -> None:
    task = TASK.replace("{{ text }}", template)
    assert example(tmp_path, {"text": cell}, f"{{text: {kind}}}", task=task).context == shown


@pytest.mark.parametrize(
    ("kind", "cell", "says"),
    [
        ("list", "[1, 2", r"is not a JSON list such as .* \("), ("list", "a, b", "is not a JSON list"),
        ("list", "{}", "is not a list: "), ("mapping", "[1]", "is not a mapping: "),
        ("mapping", '{"a": 1, "a": 2}', "the field 'a' is given twice"),
        ("number", "one", 'is not a number: "one"'), ("number", "NaN", "is not a number"),
        ("number", "1e999", "is not a number"), ("number", "1_000", "is not a number"),
        ("boolean", "yes", "is neither true nor false"),
        ("number", "", r"is missing \(null, or an empty cell\)"), ("text", "", r"is missing \(null"),
    ],
)  # fmt: skip
def test_a_cell_of_another_type(tmp_path: Path, kind: str, cell: str, says: str) -> None:
    with pytest.raises(DataError, match=f"train.csv, row 1: field 'text' of task \\w+ .*{says}") as caught:
        example(tmp_path, {"text": cell}, f"{{text: {kind}}}")
    assert "\n" not in str(caught.value)


def test_values_of_json_keep_their_type(tmp_path: Path) -> None:
    row: dict[str, Any] = {"text": "a", "choices": ["x", "y"], "label": 1}
    fields = "{text: text, choices: list, label: number}"
    found = example(tmp_path, row, fields, options="choices", gold="label", name="train.jsonl")
    assert (found.answers, found.gold) == ((" x", " y"), 1)
    with pytest.raises(DataError, match=r"field 'label' of task \w+ is not a number: true"):
        example(tmp_path, row | {"label": True}, fields, options="choices", gold="label", name="train.jsonl")


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ({"name": "Anna", "adult": False, "job": None}, '{"name": "Anna", "adult": false, "job": null}'),
        (["é", 2.5, True, {"a": []}], '["é", 2.5, true, {"a": []}]'),
    ],
)
def test_lists_and_mappings_are_printed_as_json(tmp_path: Path, cell: Any, shown: str) -> None:
    assert example(tmp_path, {"text": cell}, "[text]", name="train.jsonl").context == shown
    found = example(tmp_path, {"text": [cell, "a"]}, "[text]", options="text", name="train.jsonl")
    assert found.answers == (f" {shown}", " a")


def test_numbers_in_a_list_are_printed_as_they_are_written(tmp_path: Path) -> None:
    assert example(tmp_path, {"text": "[2.50, 1e5]"}, "{text: list}").context == "[2.50, 1e5]"


NAMES = ["self", "none", "None", "true", "not", "a b", "a-b", "label.1", "1st"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["fields", "let"])
def test_names_that_a_template_would_read_as_something_else(tmp_path: Path, name: str, key: str) -> None:
    fields, let = ("[text]", f'let: {{"{name}": text}}') if key == "let" else (f'[text, "{name}"]', "")
    with pytest.raises(
        TaskError, match=rf"yaml: task \w+: {key}: '{name}' cannot be a variable of a template"
    ):
        example(tmp_path, {"text": "a"}, fields, task=TASK + let)


@pytest.mark.parametrize("name", ["class", "loop", "range", "dict", "gold", "context", "values", "über"])
def test_other_names_are_read(tmp_path: Path, name: str) -> None:
    task = TASK.replace("{{ text }}", f"{{{{ {name} }}}}")
    assert example(tmp_path, {name: "a"}, f"[{name}]", task=task, name="train.jsonl").context == "a"


def test_a_field_that_is_the_options_is_a_list(tmp_path: Path) -> None:
    cells = {"text": "a", "choices": '["x", 2.50]', "label": "1"}
    found = example(tmp_path, cells, "[text, choices, label]", options="choices", gold="label | int")
    assert (found.answers, found.gold) == ((" x", " 2.50"), 1)
    with pytest.raises(DataError, match=r"'options' of task \w+: 'x, y' is not a list"):
        example(
            tmp_path, cells | {"choices": "x, y"}, "[text, choices, label]", options="choices", gold='"0"'
        )


def test_json_in_a_text_field_is_pointed_out(tmp_path: Path) -> None:
    cells = {"text": "a", "choices": '{"text": ["x", "y"]}'}
    with pytest.raises(
        DataError, match=r"'choices' is text; if it is a mapping in JSON, write fields: \{choices: map"
    ):
        example(tmp_path, cells, "[text, choices]", options="choices.text")


@pytest.mark.parametrize("fields", ["{text: txt}", "text", "[1]", "[text, [a]]", "{text: [a]}"])
def test_types_that_do_not_exist(tmp_path: Path, fields: str) -> None:
    with pytest.raises(TaskError, match=r"yaml: fields"):
        example(tmp_path, {"text": "a"}, fields)


@pytest.mark.parametrize(
    ("options", "gold", "label", "right"),
    [
        ("['no', 'yes']", "label | int", label, 1) for label in ("1", "1.0", " 1 ", 1, 1.0, True, "+1")
    ] + [
        ("['0', '1']", "options.index(label)", label, 1) for label in ("1", "1.0", " 1 ", 1, 1.0)
    ] + [
        ("['true', 'false']", "options.index(label)", label, 1) for label in (False, "false", "False")
    ] + [
        ("[false, true]", "options.index(label)", True, 1), ("[1, 2]", "options.index(label)", "2", 1),
        ("['1.0', '1']", "options.index(label)", "1", 1), ("['no', 'yes']", "label", 1.0, 1),
    ],
)  # fmt: skip
def test_labels_however_they_are_written(
    tmp_path: Path, options: str, gold: str, label: Any, right: int
) -> None:
    found = example(
        tmp_path, {"text": "a", "label": label}, "[text, label]", options=json.dumps(options), gold=gold,
        name="train.jsonl",
    )  # fmt: skip
    assert found.gold == right


@pytest.mark.parametrize(
    ("options", "gold", "label", "says"),
    [
        ("['no', 'yes']", "label", "1", "gives '1', which is a text, not an index; write gold: FIELD | int"),
        ("['yes', 'no']", "label", True, "gives True, which is true or false, not an index"),
        ("['no', 'yes']", "label", 0.5, "gives 0.5, which is none of its 2 options"),
        ("['no', 'yes']", "label", 2, "gives 2, which is none of its 2 options"),
        ("['no', 'yes']", "label | int", 1.7, "invalid literal for a whole number: 1.7"),
        ("['no', 'yes']", "label | int", "1_0", "invalid literal"),
        ("['no', 'yes']", "label | int", "", "invalid literal"),
        ("['no', 'yes']", "options.index(label)", True, r"True is not in the list of options \['no'"),
        ("['1.0', '1.00']", "options.index(label)", 1, r"1 matches several of options \['1.0', '1.00'\]"),
        ("['a', none]", "0", 1, "a value is null, which is not text"),
    ],
)  # fmt: skip
def test_labels_that_could_mean_anything(
    tmp_path: Path, options: str, gold: str, label: Any, says: str
) -> None:
    with pytest.raises(DataError, match=f"train.jsonl, row 1: .*{says}") as caught:
        example(
            tmp_path, {"text": "a", "label": label}, "[text, label]", options=json.dumps(options),
            gold=json.dumps(gold), name="train.jsonl",
        )  # fmt: skip
    assert "\n" not in str(caught.value)


def test_nothing_is_printed_of_null(tmp_path: Path) -> None:
    task = TASK.replace("{{ text }}", "{{ text.a }}")
    with pytest.raises(DataError, match=r"row 1: prompt 'plain' .*: a value is null, which is not text"):
        example(tmp_path, {"text": {"a": None}}, "[text]", name="train.jsonl", task=task)


def test_the_pieces() -> None:
    assert [whole_number(value) for value in (True, 2, 3.0, " -4.00 ")] == [1, 2, 3, -4]
    assert Options(["x", "y", "x"]).index("x", 1) == 2
