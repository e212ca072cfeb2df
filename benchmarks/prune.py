"""Seconds and peak memory of `tailor prune`, whole process, on random LLaMAs of three sizes.

`python benchmarks/prune.py [--sizes S M L] [--repeats 3]`. S has 58M parameters (hidden 512, 8 layers), M
268M (hidden 1024, 16 layers), L 1.26B (hidden 2048, 22 layers); bf16 on disk, ratio 0.25 of the units of
layers 4 to N - 2, calibration 10 samples of 64 tokens. Each run is a process of its own: import, score, plan
and write the cut checkpoint.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {"S": (512, 8), "M": (1024, 16), "L": (2048, 22)}
CRITERIA = ("l2", "taylor", "taylor_mix")


def make(folder: Path, hidden: int, layers: int) -> None:
    """A random LLaMA and its calibration tokens on disk."""
    import torch
    from random_llama import write_llama
    from safetensors.torch import save_file

    write_llama(folder, hidden, layers)
    save_file({"input_ids": torch.randint(32000, (10, 64))}, folder.with_suffix(".safetensors"))


def run(model: Path, layers: int, criterion: str, out: Path) -> tuple[float, float]:
    """(seconds, peak resident GB) of one pruning."""
    tokens = model.with_suffix(".safetensors")
    arguments = [
        sys.executable, "-m", "tailored_llama", "prune", str(model), "--out", str(out), "--ratio", "0.25",
        "--criterion", criterion, "--layers", f"4:{layers - 2}", "--set", "prune.of=units",
        "--set", f"prune.calibration={{source: {tokens}, samples: 10, length: 64}}",
    ]  # fmt: skip
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, arguments, os.environ)
    _, status, usage = os.wait4(child, 0)  # the peak of this child, not of all that were
    assert status == 0, f"tailor prune ended with {os.waitstatus_to_exitcode(status)}"
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for size in chosen.sizes:
            model = Path(temporary) / size
            # In a process of its own: a child's peak begins with what its parent held when it was made.
            maker = multiprocessing.get_context("spawn").Process(target=make, args=(model, *SHAPES[size]))
            maker.start()
            maker.join()
            for criterion in CRITERIA:
                runs = [
                    run(model, SHAPES[size][1], criterion, Path(temporary) / f"{size}-{criterion}-{i}")
                    for i in range(chosen.repeats)
                ]
                seconds, peaks = zip(*runs, strict=True)
                figures = {
                    "size": size, "criterion": criterion, "seconds": round(statistics.median(seconds), 1),
                    "all_seconds": [round(s, 1) for s in seconds], "peak_gb": round(max(peaks), 2),
                }  # fmt: skip
                print(json.dumps(figures), file=sys.stderr)


if __name__ == "__main__":
    main()
