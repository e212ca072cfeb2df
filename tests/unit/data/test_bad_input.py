"""Wrong tasks, rows and settings through the command line: exit code 2, one line, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.data import task_file as schema
from tests.support.pico import worded
from tests.support.tasks import write_split
from tests.support.tokenizers import tokenizer

WRITTEN = """
kind: generation
metric: exact_match
scored: test
max_length: 64
fields: [question, answer]
references: "[answer]"
generation: {max_new_tokens: 8}
source: {files: .}
prompts:
  plain: {context: "{{ question }} Answer:"}
"""
PICKED = """
metric: acc
scored: test
max_length: 64
fields: [question, answer]
options: "['yes', answer]"
gold: "1"
source: {files: .}
prompts:
  plain: {context: "{{ question }} Answer:"}
"""
Say = Callable[..., str]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a model, and a task of either kind with its rows; the working directory."""
    schema._load.cache_clear()
    monkeypatch.chdir(tmp_path)
    worded(context=48).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    for split in ("train", "test"):
        write_split(tmp_path, split, [{"question": f"{split} {n}?", "answer": "no"} for n in range(4)])
    (tmp_path / "written.yaml").write_text(WRITTEN)
    (tmp_path / "picked.yaml").write_text(PICKED)
    return tmp_path


@pytest.fixture
def say(own: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def run(command: str) -> str:
        before = sorted(own.rglob("*"))
        capsys.readouterr()
        assert execute(command.split()) == 2
        output = capsys.readouterr()
        lines = [line for line in output.err.splitlines() if line.startswith("tailor: ")]
        assert (len(lines), output.out) == (1, "")
        assert "Traceback" not in output.err
        assert sorted(own.rglob("*")) == before
        return lines[0]

    return run


def change(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


TUNE = "tune model --task {} --shots 4 --set tune.epochs=1 --out out"


@pytest.mark.parametrize("task", ["written", "picked"])
def test_names_that_are_not_there(say: Say, task: str) -> None:
    assert "writen.yaml: no such task file" in say("evaluate model --tasks writen.yaml --out out")
    output = say(f"evaluate model --tasks {task}.yaml --prompt plane --out out")
    assert "no prompt 'plane' (did you mean 'plain'?)" in output
    assert "no prompt 'plane'" in say(TUNE.format(f"{task}.yaml") + " --prompt plane")


@pytest.mark.parametrize("task", ["written", "picked"])
def test_a_template_with_an_unknown_field(say: Say, task: str) -> None:
    change(f"{task}.yaml", "{{ question }}", "{{ qestion }}")
    for command in (f"evaluate model --tasks {task}.yaml --out out", TUNE.format(f"{task}.yaml")):
        assert "unknown field 'qestion' (did you mean 'question'?)" in say(command)


@pytest.mark.parametrize(("task", "what"), [("written", "answer 0"), ("picked", "choice 1")])
def test_an_answer_that_is_empty(say: Say, task: str, what: str) -> None:
    change("test.jsonl", '"test 2?", "answer": "no"', '"test 2?", "answer": " "')
    output = say(f"evaluate model --tasks {task}.yaml --prompt plain --out out")
    assert f"test.jsonl, row 3: task {task}: {what} is empty" in output


def test_a_metric_of_the_other_kind(say: Say) -> None:
    change("written.yaml", "exact_match", "acc")
    output = say("prompts show written.yaml")
    assert "written.yaml: metric: a task of kind generation needs one of exact_match, f1, rougeL" in output


def test_an_answer_with_no_room_in_the_model(say: Say) -> None:
    change("written.yaml", "max_new_tokens: 8", "max_new_tokens: 48")
    output = say("evaluate model --tasks written.yaml --prompt plain --out out")
    assert "a model with context 48 cannot generate 48 tokens" in output


def test_a_loss_that_ranks_choices_where_there_are_none(say: Say) -> None:
    output = say(TUNE.format("written.yaml") + " --prompt plain --set tune.loss=choice")
    assert "the answers of task written are written" in output


def test_an_overlap_that_is_refused(say: Say) -> None:
    Path("train.jsonl").write_text(Path("test.jsonl").read_text().replace("test 0", "Train, 0"))
    output = say(TUNE.format("picked.yaml") + " --prompt plain --set tune.overlap=refuse")
    assert "train.jsonl: 3 training rows reappear in the scored split (the first is row 2)" in output
    output = say(TUNE.format("picked.yaml") + " --prompt plain")
    assert "has 1 training rows (3 more reappear in the scored split)" in output


def test_settings_that_do_not_exist(say: Say) -> None:
    assert "tune.select" in say(TUNE.format("picked.yaml") + " --set tune.select=divers")
    assert "tune.auto" in say(TUNE.format("picked.yaml") + " --set tune.auto=yes")


def test_prompts_that_are_too_long_are_cut_and_counted(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change("test.jsonl", "test 1?", "a long question " * 30)
    for task in ("written", "picked"):
        command = f"evaluate model --tasks {task}.yaml --prompt plain --out out-{task}"
        assert execute(command.split()) == 0
        assert f"truncated on the left: {task} 1 of 4." in " ".join(capsys.readouterr().out.split())
        (row,) = json.loads((own / f"out-{task}" / "results.json").read_text())["rows"]
        assert row["tasks"][task]["cut"] == 1
