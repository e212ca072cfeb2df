"""Task files of strangers: names that become directories, and what is no task file at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tailored_llama.cli import execute
from tailored_llama.data import load_task, task_names
from tailored_llama.errors import LINE, RecipeError, TaskError
from tailored_llama.names import check_name, check_path
from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.sweep.cells import cells_of
from tests.support.tasks import MOOD

TASK = MOOD + 'prompts: {plain: {context: "{{ text }} It was"}}\n'
BAD_NAMES = [
    "", " ", ".", "..", "/", "a/b", "\\", "a\\b", "/../../../../x", "../../oops", "st/ory", "a\0b", "a\nb",
    "a\tb", "a\x7fb", "a\u2028b", "\ud800", "a\u202eb", "x" * 101, "日" * 50, "con", "NUL", "com1.txt",
    "Lpt9", "aux ", "a.", "a ", " a", "a:b", "a?", "a*", "a|b", "a<b", 'a"b', "~/x",
]  # fmt: skip
GOOD_NAMES = [
    "mood",
    "x" * 100,
    "日本語",
    "a b",
    "v1.2",
    "-x",
    "it's",
    "a,b",
    ".hidden",
    "console",
    "com",
    "ü_ß",
    "50%",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_what_is_no_file_name_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="a name becomes part of a file name, and this one"):
        check_name(name)


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_names_of_any_script_are_names(name: str, tmp_path: Path) -> None:
    assert check_name(name) == name
    # With what surrounds it: a stage, a digest, and the partial directory of a long host name.
    (tmp_path / f".evaluate-dense_tuned-same-{name}-{'0' * 16}.partial-{'h' * 60}-1234567-01234567").mkdir()


@settings(max_examples=80, deadline=None)
@given(name=some.text(max_size=120))
def test_a_name_that_passes_makes_one_file(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        check_name(name)
    except ValueError:
        return
    home = tmp_path_factory.getbasetemp() / "names"
    home.mkdir(exist_ok=True)
    place = home / f"tune-{name}"
    place.touch()
    assert place.resolve().parent == home.resolve()
    assert place in home.iterdir()
    place.unlink()


def written(folder: Path, text: str, name: str = "mood.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    start = time.process_time()
    with pytest.raises(TaskError) as caught:
        load_task(path)
    assert time.process_time() - start < 3
    output = str(caught.value)
    assert path.name in output
    assert output.isprintable()
    assert len(output) <= LINE
    return output


@pytest.mark.parametrize(
    "name", ['"/../../../../x"', '"st/ory"', "..", '""', "x" * 300, '"a\\tb"', "[a]", "1", "null"]
)
def test_a_tasks_name_is_checked_where_it_is_read(name: str, tmp_path: Path) -> None:
    assert ": name: " in refused(written(tmp_path, f"name: {name}\n{TASK}"))


def test_a_prompts_name_is_checked_as_well(tmp_path: Path) -> None:
    text = TASK.replace("{plain:", '{"../../x":')
    assert "has a '/'" in refused(written(tmp_path, text))


def test_no_prompt_is_called_as_the_choice_of_one(tmp_path: Path) -> None:
    assert "tune.prompt: auto has a meaning" in refused(written(tmp_path, TASK.replace("{plain:", "{auto:")))


def test_the_files_own_name_is_no_better(tmp_path: Path) -> None:
    assert "has a ':'" in refused(written(tmp_path, TASK, "a:b.yaml"))
    assert load_task(written(tmp_path, f"name: fine\n{TASK}", "c:d.yaml")).name == "fine"


def test_a_task_that_is_no_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name in ("~nosuch/t.yaml", "x" * 300 + ".yaml", "", "a\nb", str(tmp_path / "folder.yaml")):
        assert execute(["prompts", "show", name]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (("max_length: 64", "max_length: 1e20"), "max_length"),
        (("max_length: 64", "max_length: .inf"), "max_length"),
        (("max_length: 64", "max_length: 1\nmax_length: 2"), "duplicate key"),
        (("fields: [text, mood]", "fields: [text, mood]\nabout: " + "x" * 21_000), "about"),
        (("fields: [text, mood]", "fields: {1: 2}"), "a key must be text"),
        (("scored: test", "extends: [a]"), "no bundled task"),
        (("metric: acc", "metric: " + "m" * 9000), "metric"),
        (("source: {files: .}", "source: &a [*a]"), "an alias that contains itself"),
        (("{{ text }}", "{{ text | nosuch }}"), "No filter named 'nosuch'"),
        (("{{ text }}", "{{ text is nosuch }}"), "No test named 'nosuch'"),
        (("{{ text }}", "{{ text | random }}"), "No filter named 'random'"),
        (("{{ text }}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"), "not valid Jinja2"),
        (("{{ text }}", "{{ " + "9" * 5000 + " }}"), "not valid Jinja2"),
        (("{{ text }}", "{{ " + "text ~" * 3000 + " text }}"), "{{ text ~"),
        (("{{ text }}", "{{ text"), "not valid Jinja2"),
        (("{{ text }}", "{{ " + "n" * 9000 + " }}"), "unknown field"),
        (("scored: test", 'scored: test\ngeneration: {stop: [""]}'), "stop.0"),
    ],
    ids=range(17),
)  # fmt: skip
def test_a_bad_task_file_is_one_line(change: tuple[str, str], output: str, tmp_path: Path) -> None:
    try:
        assert output in refused(written(tmp_path, TASK.replace(*change)))
    except pytest.fail.Exception:  # a long template that is read is no error
        assert "text ~" in change[1]


@pytest.mark.parametrize("name", task_names())
def test_bundled_tasks_have_names_and_templates_like_these(name: str) -> None:
    task = load_task(name)
    assert check_name(task.name) == name
    task.check()


def test_two_tasks_of_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = written(tmp_path, TASK), written(tmp_path / "other", TASK)
    upper = written(tmp_path, f"name: World_PIQA\n{TASK}", "c.yaml")
    dense = written(tmp_path, f"name: dense-world_piqa\n{TASK}", "d.yaml")
    for names in ([first, second], ["world_piqa", upper], ["world_piqa", dense]):
        tasks = [str(name) for name in names]
        recipe = load_recipe({"model": "world", "tasks": tasks}, [("prune.calibration.source", "world")])
        with pytest.raises(RecipeError, match="two tasks would be named"):
            check(recipe)


@pytest.mark.parametrize(
    "sweep",
    [
        {"data.x/../../../y": ["a", "b"]},
        {"data." + "k" * 250: ["a", "b"]},
        {"variants": {"..": {"tune.epochs": 1}}},
        {"variants": {"A": {"tune.epochs": 1}, "a": {"tune.epochs": 2}}},
        {"variants": [{f"v{i}": {f"tune.x{part}": i} for i in range(10)} for part in range(12)]},
        {"seed": [1, 2], "max_cells": 10**30},
        {"seed": [1, 2], "max_cells": True},
        {"seed": [float("nan"), 1]},
        {"seed": [2**64]},
    ],
    ids=range(9),
)
def test_a_sweeps_cells_have_names_that_fit(sweep: dict[str, Any]) -> None:
    start = time.process_time()
    with pytest.raises(RecipeError) as caught:
        cells_of(load_recipe({"model": "m", "tasks": ["boolq"], "sweep": sweep}))
    assert time.process_time() - start < 2
    assert len(str(caught.value)) <= LINE


def test_paths_that_cannot_be_are_refused() -> None:
    for path in ("", " ", "~nosuch", "~nosuch/x", "a\0b", "x" * 256, "日" * 90, "x/" * 3000, "\ud800"):
        with pytest.raises(ValueError, match=r"path|user"):
            check_path(path)
    for path in ("x" * 255, "a/b", "./~x", "C:\\x", "日本語"):
        assert check_path(path) == path
