"""docs/guide/prompts.md against the program: keys, metrics, settings and commands that it names."""

from __future__ import annotations

import re

from typer.main import get_command

from tailored_llama.cli.verbs import app
from tailored_llama.data import load_task, task_names
from tailored_llama.data.task_file import PromptFile, TaskFile
from tailored_llama.recipe import Tune
from tests.support import ROOT

PAGE = (ROOT / "docs" / "guide" / "prompts.md").read_text(encoding="utf-8")


def named_in(section: str) -> set[str]:
    """What stands in code marks in the first column of the first table of a section."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.split(section, 1)[1].split("\n\n|", 1)[1].split("\n\n")[0], re.M)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_key_of_a_task_and_a_prompt_is_explained() -> None:
    assert named_in("## The task file") == {*TaskFile.model_fields, "extends"}
    assert named_in("A prompt of a choice:") == set(PromptFile.model_fields)


def test_metrics_are_those_of_the_tasks() -> None:
    table = PAGE.split("and their main metrics", 1)[1]
    output = {
        name: metric
        for names, metric in re.findall(r"^\| (`.*?`) \| (\w+) \|", table, re.M)
        for name in re.findall(r"`(\w+)`", names)
    }
    own = [name for name in task_names() if not name.startswith("world_") or name == "world_tell"]
    assert output == {name: load_task(name).metric for name in own} | {
        name: metric for name, metric in output.items() if name not in own
    }
    assert set(own) <= set(output)


def test_settings_and_commands_exist() -> None:
    for name in re.findall(r"`tune\.(\w+)", PAGE):
        assert name in Tune.model_fields, name
    verbs = get_command(app).commands  # type: ignore[attr-defined]
    for verb in re.findall(r"^\s*tailor (\w+)", PAGE, re.M):
        assert verb in verbs, verb
    assert PAGE.count("<!-- prompt_auto: begin -->") == PAGE.count("<!-- prompt_auto: end -->") == 1
