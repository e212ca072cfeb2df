"""Peak memory of `tailor export --adapter`, whole process, on random LLaMAs of three sizes.

`python benchmarks/merge.py [--sizes S M L]`. Sizes as in benchmarks/prune.py; bf16 on disk; a random adapter
of rank 8 on all matrices of the layers. The peak of a process that only imports torch, transformers and peft
is subtracted. The budget is 1 GiB plus three times the largest matrix in fp32.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from prune import SHAPES

IMPORT = "import torch, transformers, peft; from transformers import AutoModelForCausalLM, LlamaForCausalLM"


def make(folder: Path, adapter: Path, hidden: int, layers: int) -> None:
    """A random LLaMA, and an adapter for it, on disk."""
    import torch
    from peft import LoraConfig, get_peft_model
    from random_llama import write_llama
    from transformers import AutoModelForCausalLM

    write_llama(folder, hidden, layers)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(str(adapter))


def peak(arguments: list[str]) -> tuple[float, float]:
    """(seconds, peak resident GiB) of a child process."""
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    _, status, usage = os.wait4(child, 0)  # the peak of this child, not of all that were
    assert status == 0, f"a child ended with {os.waitstatus_to_exitcode(status)}"
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 2**30


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    chosen = parser.parse_args()
    imports = peak(["-c", IMPORT])[1]
    with tempfile.TemporaryDirectory() as temporary:
        for size in chosen.sizes:
            model, adapter = Path(temporary) / size, Path(temporary) / f"{size}-adapter"
            # In a process of its own: a child's peak begins with what its parent held when it was made.
            maker = multiprocessing.get_context("spawn").Process(
                target=make, args=(model, adapter, *SHAPES[size])
            )
            maker.start()
            maker.join()
            seconds, most = peak([
                "-m", "tailored_llama", "export", str(model), "--adapter", str(adapter),
                "--base-unchecked", "--out", str(Path(temporary) / f"{size}-merged"),
            ])  # fmt: skip
            hidden = SHAPES[size][0]
            figures = {
                "size": size, "seconds": round(seconds, 1), "peak_above_import_gib": round(most - imports, 2),
                "budget_gib": round(1 + 3 * 4 * hidden * 4 * hidden / 2**30, 2),
                "file_gib": round((model / "model.safetensors").stat().st_size / 2**30, 2),
            }  # fmt: skip
            print(json.dumps(figures), file=sys.stderr)


if __name__ == "__main__":
    main()
