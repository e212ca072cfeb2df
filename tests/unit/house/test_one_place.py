"""What is done in one place only: the choice of a device, what is synthetic, no patches of other modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailored_llama.data import load_task, task_names

PACKAGE = Path(__file__).resolve().parents[3] / "src" / "tailored_llama"


def files_with(pattern: str) -> list[str]:
    """The files of the package in which `pattern` is found."""
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if re.search(pattern, path.read_text())]
    return [path.relative_to(PACKAGE).as_posix() for path in found]


def test_the_device_is_chosen_in_one_place() -> None:
    assert files_with(r"cuda\.is_available") == ["machine.py"]


def test_nothing_is_patched() -> None:
    assert files_with(r"\bunittest\b|\bmonkeypatch\b") == []


def test_tasks_are_not_recognised_by_their_names() -> None:
    assert files_with(r"startswith\([\"']world") == []


@pytest.mark.parametrize("name", task_names())
def test_a_task_of_the_world_is_synthetic_by_its_file(name: str) -> None:
    task = load_task(name)
    assert task.synthetic == task.world == name.startswith("world_")


def test_whether_a_task_is_synthetic_changes_no_fingerprint(tmp_path: Path) -> None:
    text = "extends: world_boolq\nname: mine\nsynthetic: {}\n"
    tasks = []
    for value in ("true", "false"):
        (tmp_path / f"{value}.yaml").write_text(text.format(value))
        tasks.append(load_task(tmp_path / f"{value}.yaml"))
    assert [task.synthetic for task in tasks] == [True, False]
    assert repr(tasks[0]) == repr(tasks[1])
