"""Memory and seconds per layer of a Taylor walk at LLaMA-70B's layer shape, without a LLaMA-70B.

`python benchmarks/walk_70b.py [--layers 80] [--scored 74] [--precision bf16]`. The weights come from a source
that hands out one random layer of 856M parameters (grouped queries, 8 KV heads) again and again, and holds
it itself: 1.7 GB in bf16, which a checkpoint on the disk would hold in the page cache. 10 samples of 64
tokens. Seconds per layer come from a walk of all `--layers`; on a slow machine a few tell the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

SAMPLES, LENGTH = 10, 64


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=80)
    parser.add_argument("--scored", type=int, default=None, help="layers, by default all but 4 and 2")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()

    import torch
    from random_llama import (
        LLAMA_70B,
        RandomWeights,
        layer_parameters,
        matmul_rate,
        peak_memory,
        products_of_walk,
    )
    from transformers import LlamaConfig

    from tailored_llama import machine
    from tailored_llama.recipe import Prune
    from tailored_llama.stages.prune.scores import channel_scores

    machine.settle()  # as the command does
    torch.set_num_threads(chosen.threads)
    config = LlamaConfig(**{**LLAMA_70B, "num_hidden_layers": chosen.layers})
    weights = RandomWeights(config, recycle=True)
    last = max(chosen.layers - 2, 1)
    first = max(0, last - chosen.scored) if chosen.scored else min(4, last - 1)
    tokens = torch.randint(config.vocab_size, (SAMPLES, LENGTH))
    for name in weights.names():
        weights.tensor(name)  # drawn before the walk, and kept
    held, dtype = peak_memory(), torch.bfloat16 if chosen.precision == "bf16" else torch.float32
    rates = [matmul_rate(config, SAMPLES * LENGTH, dtype)]
    settings = Prune.model_validate({"layers": (first, last), "precision": chosen.precision})
    started, used = time.perf_counter(), time.process_time()
    channel_scores(weights, settings, tokens, 42)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    rates.append(matmul_rate(config, SAMPLES * LENGTH, dtype))
    flops = sum(products_of_walk(config, SAMPLES, LENGTH, range(first, last)).values())
    best = max(statistics.mean(rate[name] for rate, _ in rates) for name in rates[0][0])
    print(
        f"{chosen.layers} layers of {layer_parameters(config) / 1e6:.0f}M numbers, {first} to {last} scored, "
        f"{chosen.precision}, {chosen.threads} threads\n"
        f"| seconds | CPU seconds | a layer | GB before | peak, GB | products at the bare rate, s | ratio |\n"
        f"|---|---|---|---|---|---|---|\n"
        f"| {seconds:.1f} | {cpu:.1f} | {seconds / chosen.layers:.2f} | {held:.2f} | {peak_memory():.2f} "
        f"| {flops / best:.1f} | {seconds / (flops / best):.2f} |"
    )


if __name__ == "__main__":
    main()
