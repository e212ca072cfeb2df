"""A process that is killed after its stage was complete: the next call removes what it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama.stage import TRAINED, Stage, Working, complete, complete_beside


def test_a_kill_after_the_result_is_complete_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed process would have removed, the next call removes."""
    out = tmp_path / "out"

    def tuning() -> Stage:
        def produce(folder: Path) -> None:
            trained = Stage(TRAINED, {}, dict, lambda place: None, seed=1)
            complete_beside(trained, folder.parent, made.working)
            (folder / "merged").write_text("")

        made = Stage("tune", {}, dict, produce, seed=1)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Working, "clear", lambda *_: None)
        complete(tuning(), out)
    (tmp_path / ".out.lock").write_text("pid=1\nhost=gone\n")
    assert len(list(tmp_path.glob(f"{TRAINED}-*"))) == 1
    finished = (out / "manifest.json").stat().st_mtime_ns
    complete(tuning(), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "manifest.json").stat().st_mtime_ns == finished
