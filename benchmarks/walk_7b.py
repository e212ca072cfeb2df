"""Memory and seconds of pruning a random LLaMA-7B from the disk, against bare matrix products and copying.

`python benchmarks/walk_7b.py [--folder DIR] [--layers 32] [--precision fp32] [--keep]`. Makes a random
LLaMA-7B in bf16 (13.5 GB; `--layers` makes it shallower) in a new folder inside DIR, Taylor scores of layers
4 to 29 on 10 samples of 64 tokens, cuts 0.25 of their units, streamed to the disk, and compares:

- the walk with the time that its own matrix products take at the rate of bare ones, measured before and after
  it in the same process; the weights are read once beforehand, so that they come from the page cache, and
  what still came from the disk is said;
- the cut with copying the same number of bytes from the same files;
- the largest resident memory of the process after each step.

What it made is removed unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SAMPLES, LENGTH, RATIO = 10, 64, 0.25


def make(folder: Path, layers: int) -> None:
    """A random LLaMA of the 7B's widths on the disk."""
    from random_llama import LLAMA_7B, RandomWeights
    from transformers import LlamaConfig

    from tailored_llama import checkpoint

    config = LlamaConfig(**{**LLAMA_7B, "num_hidden_layers": layers})
    checkpoint.write_checkpoint(RandomWeights(config), folder)


def measure(folder: Path, layers: int, precision: str, threads: int, results: Path) -> None:
    """All steps in one process; the figures as JSON."""
    import torch
    from random_llama import matmul_rate, peak_memory, products_of_walk, read_from_disk

    torch.set_num_threads(threads)
    from tailored_llama import checkpoint, machine
    from tailored_llama.recipe import Prune
    from tailored_llama.stages.prune.planner import plan_units
    from tailored_llama.stages.prune.surgery import CutWeights

    machine.settle()  # as the command does
    figures: dict[str, Any] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        before, started, used = read_from_disk(), time.perf_counter(), time.process_time()
        yield
        figures[name] = {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - used,
            "peak_gb": peak_memory(),
            "from_disk_gb": (read_from_disk() - before) / 1e9,
        }

    scored = range(min(4, layers // 2), max(layers - 2, layers // 2 + 1))
    settings = Prune.model_validate(
        {"ratio": RATIO, "of": "units", "layers": (scored.start, scored.stop), "precision": precision}
    )
    weights = checkpoint.open_weights(folder)
    tokens = torch.randint(weights.config.vocab_size, (SAMPLES, LENGTH))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with timed("open, import"):
        pass
    with timed("check for NaN"):  # reads every weight once
        checkpoint.check_finite(weights)
    rates = [matmul_rate(weights.config, SAMPLES * LENGTH, dtype)]
    with timed("walk and scores"):
        kept = plan_units(weights, settings, tokens, 42)[RATIO]
    rates.append(matmul_rate(weights.config, SAMPLES * LENGTH, dtype))
    products = products_of_walk(weights.config, SAMPLES, LENGTH, scored)
    flops = sum(products.values())
    own, per_cpu = ({name: [pair[i][name] for pair in rates] for name in rates[0][i]} for i in (0, 1))
    with timed("cut, written"):
        checkpoint.write_checkpoint(CutWeights(weights, kept), folder / "cut")
        flush(folder / "cut")
    written = sum(path.stat().st_size for path in (folder / "cut").iterdir())
    shutil.rmtree(folder / "cut")
    with timed("copy of as much"):
        copied = copy(folder, written, folder / "copy")
        flush(folder / "copy")
    shutil.rmtree(folder / "copy")
    bare = flops / max(statistics.mean(rate) for rate in own.values())
    figures |= {
        "flops": flops, "rates_gflops": {name: [r / 1e9 for r in rate] for name, rate in own.items()},
        "bare_products_seconds": bare, "walk_over_products": figures["walk and scores"]["seconds"] / bare,
        "walk_over_products_cpu": figures["walk and scores"]["cpu_seconds"]
        / (flops / max(statistics.mean(rate) for rate in per_cpu.values())),
        "own_shapes_seconds": sum(work / statistics.mean(own[name]) for name, work in products.items()),
        "cut_gb_per_s": written / 1e9 / figures["cut, written"]["seconds"],
        "copy_gb_per_s": copied / 1e9 / figures["copy of as much"]["seconds"],
        "threads": threads, "precision": precision, "layers": layers, "scored": [scored.start, scored.stop],
    }  # fmt: skip
    results.write_text(json.dumps(figures))


def copy(folder: Path, size: int, out: Path) -> int:
    """Copy shards until `size` bytes are written."""
    out.mkdir()
    copied = 0
    for shard in sorted(folder.glob("*.safetensors")):
        if copied >= size:
            break
        shutil.copyfile(shard, out / shard.name)
        copied += shard.stat().st_size
    return copied


def flush(folder: Path) -> None:
    """Wait until what was written is on the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true")
    chosen = parser.parse_args()
    needed = (chosen.layers * 0.405 + 0.53) * 2.05
    free = shutil.disk_usage(chosen.folder).free / 1e9
    if free < needed:
        sys.exit(
            f"{chosen.folder}: needs {needed:.0f} GB where {free:.0f} GB are free; name another --folder"
        )
    folder = Path(tempfile.mkdtemp(prefix="walk-7b-", dir=chosen.folder))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stopped, it clears away what it made
    process = None
    try:
        # In processes of their own: a child's peak begins with what its parent held when it was made.
        spawn = multiprocessing.get_context("spawn").Process
        steps = [(make, (folder / "model", chosen.layers)), (measure, (
            folder / "model", chosen.layers, chosen.precision, chosen.threads, folder / "figures.json",
        ))]  # fmt: skip
        for target, arguments in steps:
            process = spawn(target=target, args=arguments)
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(f"{target.__name__} ended with {process.exitcode}")
        show(json.loads((folder / "figures.json").read_text()))
    finally:
        if process and process.is_alive():
            process.kill()
            process.join()
        if chosen.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


def show(figures: dict[str, Any]) -> None:
    """A table of the steps, and the two comparisons."""
    print("| step | seconds | CPU seconds | peak, GB | from disk, GB |\n|---|---|---|---|---|")
    for name, step in figures.items():
        if isinstance(step, dict) and "seconds" in step:
            cells = "seconds", "cpu_seconds", "peak_gb", "from_disk_gb"
            print(f"| {name} | " + " | ".join(f"{step[cell]:.2f}" for cell in cells) + " |")
    rates = ", ".join(f"{name} {' then '.join(f'{r:.0f}' for r in rate)}"
                      for name, rate in figures["rates_gflops"].items())  # fmt: skip
    print(
        f"\n{figures['layers']} layers, scored {figures['scored']}, {figures['precision']}, "
        f"{figures['threads']} threads\nbare products, GFLOP/s before and after the walk: {rates}\n"
        f"the walk's own products: {figures['flops'] / 1e12:.1f} TFLOP, "
        f"{figures['bare_products_seconds']:.1f} s at the best of these rates; the walk took "
        f"{figures['walk_over_products']:.2f} times that "
        f"({figures['walk_over_products_cpu']:.2f} in CPU seconds); "
        f"{figures['own_shapes_seconds']:.1f} s at the rates of their own shapes, "
        f"{figures['walk and scores']['seconds'] / figures['own_shapes_seconds']:.2f} times that\n"
        f"cut {figures['cut_gb_per_s']:.2f} GB/s, copy {figures['copy_gb_per_s']:.2f} GB/s"
    )


if __name__ == "__main__":
    main()
