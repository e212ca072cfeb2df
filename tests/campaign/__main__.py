"""Run the campaign: `python -m tests.campaign [--only KIND] [--seed N] [--count N]`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("kills", "corruption", "recipes", "checkpoints", "tasks", "full_disk")
COLUMNS = ("tried", "done", "refused", "resumed", "wrong")


def main() -> int:
    options = _options()
    # A killed process leaves its semaphores to Python's tracker, which would tell so at the end.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    os.chdir(ROOT)  # the server that forks finds the campaign there
    root = Path(tempfile.mkdtemp(prefix="tailor-campaign-"))
    from tests.campaign.bench import Bench

    bench = Bench(root)
    print(f"{'kind':<12}" + "".join(f"{name:>9}" for name in COLUMNS) + f"{'seconds':>9}", flush=True)
    wrong = 0
    for name in [options.only] if options.only else KINDS:
        kind = import_module(f"tests.campaign.{name}")
        reason = kind.missing() if hasattr(kind, "missing") else None
        if reason:
            print(f"{name:<12} skipped: {reason}", flush=True)
            continue
        wrong += _try(bench, name, kind, options)
        if wrong and not options.all:
            return 1
    if not wrong:
        shutil.rmtree(root)
    return 1 if wrong else 0


def _try(bench: Bench, name: str, kind: ModuleType, options: argparse.Namespace) -> int:
    """All cases of a kind, a line of figures, and what was wrong; returns how many were."""
    started = time.monotonic()
    count = options.count or (kind.SHORT if options.short else kind.COUNT)
    figures: Counter[str] = Counter()
    problems: list[str] = []
    for seed, outcome, problem in _cases(
        bench, name, kind, range(options.seed, options.seed + count), options
    ):
        figures["tried"] += 1
        figures[outcome] += 1
        if problem:
            again = f"python -m tests.campaign --only {name} --seed {seed} --count 1"
            problems.append(f"wrong: {name}, seed {seed}: {problem}\n  again: {again}")
            if options.all:
                print(problems[-1], flush=True)
    took = time.monotonic() - started
    print(f"{name:<12}" + "".join(f"{figures[c]:>9}" for c in COLUMNS) + f"{took:>9.0f}", flush=True)
    if problems and not options.all:
        print(problems[0], flush=True)
    return figures["wrong"]


def _cases(
    bench: Bench,
    name: str,
    kind: ModuleType,
    seeds: range,
    options: argparse.Namespace,
) -> Iterator[tuple[int, str, str]]:
    """(seed, outcome, what was wrong) of each case as it ends; none is begun after the first wrong one."""
    from tests.campaign.verdict import Wrong

    def one(seed: int) -> tuple[int, str, str]:
        folder = bench.root / f"{name}-{seed}"
        folder.mkdir()
        try:
            outcome = kind.case(bench, seed, folder)
        except Exception as error:
            if not isinstance(error, Wrong):  # a fault of the campaign's own
                error.add_note(f"in {name}, seed {seed}")
                raise
            return seed, "wrong", f"{error}\n  kept: {folder}"
        shutil.rmtree(folder)
        return seed, outcome, ""

    left, stopped = iter(seeds), False
    with ThreadPoolExecutor(options.jobs) as pool:
        running: set[Future[tuple[int, str, str]]] = set()
        while True:
            while not stopped and len(running) < options.jobs and (seed := next(left, None)) is not None:
                running.add(pool.submit(one, seed))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                result = future.result()
                stopped |= bool(result[2]) and not options.all
                yield result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--only", choices=KINDS, metavar="KIND", help=f"One of {', '.join(KINDS)}.")
    parser.add_argument("--seed", type=int, default=1, help="Of the first case; the next has the next (1).")
    parser.add_argument("--count", type=int, help="Cases of each kind, instead of the kind's own number.")
    parser.add_argument("--short", action="store_true", help="A few cases of each kind.")
    parser.add_argument("--all", action="store_true", help="Do not stop at the first wrong case.")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="Cases at once.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
