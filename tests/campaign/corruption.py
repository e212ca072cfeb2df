"""Every file of every stage of a finished run, changed in some way: the same command makes it whole again.

What is not as it was written is never built upon. A change that keeps size and time is found by `--verify`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.campaign import child
from tests.campaign.bench import JOBS, OUT, Bench
from tests.campaign.verdict import (
    Outcome,
    Wrong,
    check_left,
    check_same,
    contents,
    files_of,
    judge,
    nothing_lost,
)

COUNT, SHORT = 120, 4
ROOM = ("run", "run", "run", "tune", "hf", "prune", "sweep")
"""Jobs whose output is corrupted; a run has most files."""


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Change one file of a finished result and give the same command again."""
    dice = random.Random(seed)
    job = JOBS[ROOM[seed % len(ROOM)]]
    calm = bench.undisturbed(job.name)
    bench.inputs(folder, job.name)
    shutil.copytree(calm.disk, folder / "disk", symlinks=True, dirs_exist_ok=True)
    out = folder / OUT
    if dice.random() < 0.5:  # else the directory was moved, and this is its first command here
        judge(child.run(job.arguments, folder))
    files = [path for path in files_of(out).values() if path.is_file() and not path.is_symlink()]
    # Every file has its turn as the seeds go up; how it is changed is thrown.
    victim = files[seed // len(ROOM) % len(files)]
    before = victim.stat()
    how = dice.choice([*CHANGES, *(["unseen"] if _verifies() and job.arguments[0] == "run" else [])])
    CHANGES.get(how, flip)(victim, dice, files)
    more: tuple[str, ...] = ()
    if how == "unseen":
        os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        more = ("--verify",)
    what = f"{how}: {victim.relative_to(folder)} ({job.name})"
    with nothing_lost(folder):
        ran = child.run((*job.arguments, *more), folder)
    verdict = judge(ran)
    if verdict == "refused" and victim.name == "manifest.json" and job.arguments[0] != "run":
        # Outside a run, nothing says that what lies there is ours: it is not replaced.
        check_left(out)
        return "refused"
    if verdict != "done":
        raise Wrong(f"{what}: {ran.line}\n{ran.err}")
    check_left(out)
    try:
        check_same(contents(calm.disk), contents(folder / "disk"), f"{what}; undisturbed and made again")
    except ValueError as error:
        raise Wrong(f"{what}: not made again ({error})") from None
    return "resumed"


@cache
def _verifies() -> bool:
    """Whether `run` has --verify."""
    from tailored_llama.cli.help import page

    return "--verify" in page()


def flip(path: Path, dice: random.Random, _: list[Path]) -> None:
    """One bit, at the same size."""
    data = bytearray(path.read_bytes())
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def cut(path: Path, dice: random.Random, _: list[Path]) -> None:
    """Truncated, at worst to nothing."""
    data = path.read_bytes()
    path.write_bytes(data[: dice.randrange(max(1, len(data)))])


def empty(path: Path, dice: random.Random, _: list[Path]) -> None:
    """Nothing in it."""
    path.write_bytes(b"")


def zeros(path: Path, dice: random.Random, _: list[Path]) -> None:
    """As large as before, but all zeros, as after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path, dice: random.Random, _: list[Path]) -> None:
    """Deleted."""
    path.unlink()


def longer(path: Path, dice: random.Random, _: list[Path]) -> None:
    """With something appended."""
    path.write_bytes(path.read_bytes() + dice.randbytes(dice.randrange(1, 50)))


def other(path: Path, dice: random.Random, files: list[Path]) -> None:
    """Another file of the run in its place."""
    path.write_bytes(dice.choice(files).read_bytes())


def edited(path: Path, dice: random.Random, _: list[Path]) -> None:
    """A JSON file with one value changed; of other files one bit."""
    try:
        content = json.loads(path.read_text())
        place = content
        while isinstance(
            key := dice.choice([*place] if isinstance(place, dict) else range(len(place))), str | int
        ):
            if not isinstance(place[key], dict | list) or not place[key]:
                break
            place = place[key]
        place[key] = dice.choice((None, 0, -1, 1e9, "x", [], {}, True, place[key]))
        path.write_text(json.dumps(content, indent=2) + "\n")
    except (ValueError, IndexError):
        flip(path, dice, _)


CHANGES: dict[str, Callable[[Path, random.Random, list[Path]], None]] = {
    change.__name__: change for change in (flip, flip, cut, empty, zeros, gone, longer, other, edited)
}
