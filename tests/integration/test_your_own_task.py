"""docs/start/your-own-task.md, run as it stands: files written, commands run, messages provoked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.data import task_file as schema
from tests.support import ROOT

PAGE = (ROOT / "docs" / "start" / "your-own-task.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+ (mood/\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
MESSAGES = re.findall(r"^```text\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def mood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    schema._load.cache_clear()  # every test has a mood/mood.yaml of its own
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def test_the_commands_work(mood: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(FILES) == 3
    for command in COMMANDS.splitlines():
        verb, *arguments = shlex.split(command)
        assert (verb, execute(arguments)) == ("tailor", 0), capsys.readouterr().err
    said = capsys.readouterr().out
    assert "*" in said
    assert "The rain ruined our picnic. It was a day to be[ sad]" in said
    assert "cross-validated score of this choice" in said
    (row,) = json.loads((mood / "scored" / "results.json").read_text())["rows"]
    assert (row["tasks"]["mood"]["n"], row["tasks"]["mood"]["chance"]) == (4, 0.5)


def test_the_task_whose_answer_is_written(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml story/story.yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "story.yaml").write_text(text)
    task = schema.load_task(tmp_path / "story.yaml")
    example = task.render("plain", {"text": "It rained.", "word": "rain"})
    assert (example.context, example.answer) == ("It rained.\nIn a word:", " rain")
    assert task.generation.stop == ("\n", ".")


TRAIN = "mood/train.jsonl"
WRONG = {
    "unknown field": ("mood/mood.yaml", "{{ text }} It", "{{ txt }} It"),
    "no label": (TRAIN, 'cat.", "mood": "happy"', 'cat."'),
    "wrong label": (TRAIN, 'cat.", "mood": "happy"', 'cat.", "mood": "glad"'),
    "empty choice": ("mood/mood.yaml", "'happy']", "' ']"),
}


@pytest.mark.parametrize(("case", "message"), zip(WRONG, MESSAGES, strict=True), ids=list(WRONG))
def test_the_messages_are_those_of_the_page(
    case: str, message: str, mood: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, right, wrong = WRONG[case]
    text = Path(name).read_text()
    assert right in text
    Path(name).write_text(text.replace(right, wrong))
    assert execute(["prompts", "show", "mood/mood.yaml"]) == 2
    assert capsys.readouterr().err.strip() == message


def test_rows_that_changed_are_tuned_on_anew(mood: Path) -> None:
    command = shlex.split(COMMANDS.splitlines()[2])[1:]
    assert execute(command) == 0
    before = json.loads((mood / "tuned" / "manifest.json").read_text())["inputs"]
    Path(TRAIN).write_text(FILES[TRAIN].replace("cat", "dog"))
    assert execute(command) == 0
    assert json.loads((mood / "tuned" / "manifest.json").read_text())["inputs"] != before
