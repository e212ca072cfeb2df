"""`tailor plan --out`: a place that cannot be written, or holds something else, is refused before scoring."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama import Plan, plan
from tailored_llama.cli import execute
from tailored_llama.errors import OutputError
from tailored_llama.stages import prune


@pytest.fixture(autouse=True)
def _no_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(*_: object, **__: object) -> None:
        raise AssertionError("scored before the place was looked at")

    monkeypatch.setattr(prune, "make_plans", scored)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("folder", "is a directory; name a file"),
        ("notes.txt", "exists and is not a plan; name another file"),
        ("notes.txt/plan.json", "cannot be created"),
    ],
)
def test_it_is_one_line_before_the_work(
    place: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert execute(["plan", "world", "--out", str(tmp_path / place)]) == 2
    assert problem in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "notes.txt"]


def test_a_plan_is_saved_where_out_says(tmp_path: Path) -> None:
    made = plan("world", ratio=0.1, criterion="l2", out=tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == made
    (tmp_path / "other.txt").write_text("a text")
    with pytest.raises(OutputError, match="is not a plan"):
        plan("world", ratio=0.1, criterion="l2", out=tmp_path / "other.txt")
