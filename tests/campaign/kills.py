"""Kills at random moments: whatever was interrupted, the same command ends as an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.campaign import child
from tests.campaign.bench import JOBS, OUT, Bench
from tests.campaign.faults import InterruptAt, KillAt
from tests.campaign.verdict import Outcome, Wrong, check_left, check_same, contents, judge, nothing_lost

COUNT, SHORT = 64, 3
OFTEN = ("run", "run", "run", "run", "sweep", "tune", "hf", "prune", "heal", "gguf", "matrix", "plan")


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Kill or interrupt a job up to three times, then let it end; compare with the undisturbed."""
    dice = random.Random(seed)
    if seed % 16 == 15:
        return _at_the_start(bench, dice, folder)
    job = JOBS[dice.choice(OFTEN)]
    calm = bench.undisturbed(job.name)
    bench.inputs(folder, job.name)
    (folder / "disk" / "mine.txt").write_text("mine")
    with nothing_lost(folder):
        for _ in range(dice.choice((1, 1, 2, 3))):
            _disturb(dice, job.arguments, folder, calm.changes, calm.wall)
        ran = child.run(job.arguments, folder)
    if judge(ran) != "done":
        raise Wrong(f"does not resume: {ran.line}\n{ran.err}")
    check_left(folder / OUT)
    if (folder / "disk" / "mine.txt").read_text() != "mine":
        raise Wrong("a file beside the output was changed")
    (folder / "disk" / "mine.txt").unlink()
    check_same(contents(calm.disk), contents(folder / "disk"), "undisturbed and resumed")
    return "resumed"


def _disturb(
    dice: random.Random, arguments: tuple[str, ...], folder: Path, changes: int, wall: float
) -> None:
    how, change = (
        dice.choice(("kill", "kill at", "kill at", "interrupt", "interrupt at")),
        dice.randrange(changes),
    )
    fault = {"kill at": KillAt, "interrupt at": InterruptAt}.get(how)
    running = child.start(arguments, folder, fault(change) if fault else None)
    if not fault:
        running.signal(signal.SIGKILL if how == "kill" else signal.SIGINT, dice.uniform(0.05, wall))
    ran = running.wait()
    if ran.code == -signal.SIGKILL:
        return
    if judge(ran) == "refused":
        raise Wrong(f"refuses to resume: {ran.line}\n{ran.err}")
    check_left(folder / OUT)


def _at_the_start(bench: Bench, dice: random.Random, folder: Path) -> Outcome:
    """Ctrl-C while Python and the libraries are still loading: one line or none, and nothing written."""
    bench.inputs(folder)
    command = [sys.executable, "-m", "tailored_llama", *JOBS["run"].arguments]
    with nothing_lost(folder, outputs=()):
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell's background job, and all that it starts, ignores the signal.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )  # fmt: skip
        # In the first moments it is Python's own start that is interrupted, on a busy machine for longer.
        time.sleep(dice.uniform(0.8, 2.5))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    lines = err.splitlines()
    if process.returncode not in (130, -signal.SIGINT) or len(lines) > 1 or out:
        raise Wrong(f"Ctrl-C at the start: exit code {process.returncode}, stderr:\n{err}")
    return "refused"
