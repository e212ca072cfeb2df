"""A process that is killed after its stage was complete: the next call removes what it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama.stage import TEACHER, TRAINED, Stage, Working, complete, complete_beside


def test_a_kill_after_the_result_is_complete_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed process would have removed, the next call removes."""
    out = tmp_path / "out"

    def tuning() -> Stage:
        working = Working()
        teacher = Stage(TEACHER, {}, dict, lambda place: None, seed=1)

        def train(place: Path) -> None:
            complete_beside(teacher, place.parent, working)

        trained = Stage(TRAINED, {}, dict, train, seed=1, working=working)

        def merge(place: Path) -> None:
            complete_beside(trained, place.parent, working)
            (place / "merged").write_text("")

        return Stage("tune", {}, dict, merge, seed=1, working=working)

    with monkeypatch.context() as patch:
        patch.setattr(Working, "clear", lambda *_: None)
        complete(tuning(), out)
    (tmp_path / ".out.lock").write_text("pid=1\nhost=gone\n")
    assert {path.name.split("-")[0] for path in tmp_path.glob("[!.]*")} == {"out", TRAINED, TEACHER}
    finished = (out / "manifest.json").stat().st_mtime_ns
    complete(tuning(), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "manifest.json").stat().st_mtime_ns == finished
