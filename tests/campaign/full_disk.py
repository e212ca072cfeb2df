"""A full disk at every stage: one line, nothing half-written, and with room again the same result.

The disk is a small tmpfs, which only root may mount; elsewhere only the size of files is limited.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.campaign import child
from tests.campaign.bench import JOBS, OUT, Bench
from tests.campaign.faults import FillAt, LimitFiles
from tests.campaign.verdict import (
    Outcome,
    Wrong,
    check_left,
    check_same,
    check_stages,
    contents,
    judge,
    nothing_lost,
)

COUNT, SHORT = 80, 2
LARGE = 64 * 2**20  # bytes; room for everything
NAMES = ("run", *JOBS)
TRAINED = re.compile(r"(trained|teacher)-[0-9a-f]{16}/").match
"""What was trained, or written by the teacher, before there was no room to merge: kept, as whole stages."""


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Too little room from the start, or taken meanwhile by another program, or a limit of files' size."""
    dice = random.Random(seed)
    job = JOBS[NAMES[seed % len(NAMES)]]
    calm = bench.undisturbed(job.name)
    bench.inputs(folder, job.name)
    how = dice.choice(("small", "small", "taken", "limit")) if mounts() else "limit"
    if how == "limit":
        fault, size = LimitFiles(int(max(2000, calm.bytes * dice.random() ** 2))), LARGE
    else:
        fault = (
            FillAt(dice.randrange(calm.changes), "disk", dice.choice((0, 4096, 40_000)))
            if how == "taken"
            else None
        )
        size = LARGE if how == "taken" else int(4096 + calm.bytes * dice.random())
    with _disk(folder / "disk", size, wanted=how != "limit"), nothing_lost(folder):
        before = contents(folder / "disk")
        ran = child.run(job.arguments, folder, fault)
        verdict = judge(ran)
        if verdict == "refused":
            _check_refusal(ran, how)
            if job.arguments[0] != "run":
                after = contents(folder / "disk")
                if job.arguments[0] in ("tune", "heal"):
                    after = {name: held for name, held in after.items() if not TRAINED(name)}
                check_same(before, after, f"after a refusal ({how}, {size} bytes)")
                check_stages(folder / "disk")
            else:
                check_stages(folder / OUT)
        check_left(folder / OUT)
        if how != "limit":
            _resize(folder / "disk", LARGE)
        ran = child.run(job.arguments, folder)
        if judge(ran) != "done":
            raise Wrong(f"does not resume with room: {ran.line}\n{ran.err}")
        check_left(folder / OUT)
        check_same(
            contents(calm.disk), contents(folder / "disk"), f"undisturbed and after a full disk ({how})"
        )
    return "resumed" if verdict == "refused" else "done"


def _check_refusal(ran: child.Ran, how: str) -> None:
    if not any(word in ran.err.lower() for word in ("disk", "space", "room", "too large", "free")):
        raise Wrong(f"the line does not tell of the disk ({how}): {ran.line}\n{ran.err}")


@cache
def mounts() -> bool:
    """Whether this process may mount a tmpfs."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def _disk(place: Path, size: int, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _resize(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
