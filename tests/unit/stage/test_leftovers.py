"""What killed processes leave: cleared where it is surely ours and dead, on one host and on shared disks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tailored_llama import checkpoint
from tailored_llama.checkpoint import partial as partials
from tailored_llama.checkpoint import partial_path, write_text
from tailored_llama.stage import locks
from tailored_llama.stage.locks import locked


def dead_pid() -> int:
    process = multiprocessing.get_context("fork").Process(target=lambda: None)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def left(path: Path, host: str | None = None, pid: int | None = None, kind: str = "partial") -> Path:
    name = f".{path.name}.{kind}-{host or checkpoint.host()}-{pid or dead_pid()}-0123abcd"
    path.with_name(name).mkdir()
    (path.with_name(name) / "half").write_text("")
    return path.with_name(name)


def test_names_tell_host_process_and_a_random_part(tmp_path: Path) -> None:
    first, second = partial_path(tmp_path / "out"), partial_path(tmp_path / "out")
    assert first != second
    assert first.name.startswith(f".out.partial-{checkpoint.host()}-{os.getpid()}-")
    assert partials.final_path(first / "adapter") == tmp_path / "out" / "adapter"


def test_only_what_dead_processes_of_this_host_left_is_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    dead, aside = left(out), left(out, kind="replaced")
    out.mkdir()
    kept = [left(out, pid=os.getpid()), left(out, host="another-host"), left(tmp_path / "other")]
    checkpoint.clear_leftovers(tmp_path, "out")
    assert not dead.exists()
    assert not aside.exists()
    assert all(path.exists() for path in kept)
    checkpoint.clear_leftovers(tmp_path)
    assert [path.exists() for path in kept] == [True, True, False]


def test_a_number_that_another_process_has_now_does_not_keep_a_leftover(tmp_path: Path) -> None:
    old = left(tmp_path / "out", pid=os.getpid())
    os.utime(old, (0, 0))  # made long before this process started
    checkpoint.clear_leftovers(tmp_path)
    assert not old.exists()


def test_a_result_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    left(tmp_path / "out", kind="replaced")
    checkpoint.clear_leftovers(tmp_path)
    assert (tmp_path / "out" / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_partial_page_is_cleared_when_it_is_written_again(tmp_path: Path) -> None:
    name = f".report.html.partial-{checkpoint.host()}-{dead_pid()}-0123abcd"
    (tmp_path / name).write_text("<html>")
    write_text(tmp_path / "report.html", "<html></html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def hold(path: Path, seconds: float, begun: multiprocessing.synchronize.Event) -> None:
    with locked(path, path):
        begun.set()
        time.sleep(seconds)


@pytest.mark.parametrize("flock", [True, False], ids=["flock", "no flock"])
def test_a_lock_is_held_by_one_process(tmp_path: Path, flock: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not flock:

        def missing(*_: object, **__: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.flock", missing)
    path = tmp_path / "deep" / ".out.lock"
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    other = context.Process(target=hold, args=(path, 0.5, begun))
    other.start()
    assert begun.wait(30)
    with locked(path, path, wait=False) as held:
        assert not held
    with locked(path, path) as held:
        assert held
        assert not other.is_alive() or other.join(5) is None
    assert [found.name for found in path.parent.iterdir()] == [] or not flock
    assert all(locks.is_lock(found) for found in path.parent.iterdir())


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".out.lock"
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    other = context.Process(target=hold, args=(path, 60, begun))
    other.start()
    assert begun.wait(30)
    other.kill()
    other.join()
    with locked(path, path, wait=False) as held:
        assert held
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_an_interrupt_during_a_removal_takes_effect_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "partial"
    if kind == "file":
        path.touch()
    else:
        (path / "deep").mkdir(parents=True)
    calls: list[Path] = []

    def interrupted(place: Path) -> None:
        calls.append(place)
        if len(calls) == 1:
            raise KeyboardInterrupt
        original(place)

    original = partials._remove
    monkeypatch.setattr(partials, "_remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        partials.remove(path)
    assert not path.exists()
