"""A GPU at LLaMA-7B's and LLaMA-70B's layer shapes: walk, cut, 50-shot tuning, evaluation.

`python benchmarks/gpu.py [--shape 7b|70b] [--layers N] [--precision bf16]`. Random weights, drawn on the
GPU: a 7B whole (13.5 GB); of the 70B's shape 80 layers in the walk, one random layer handed out again, and
`--layers` of them (4) where a model has to be held. Prints, for each step, tokens a second, the largest
memory on the GPU, and the share of the rate of a bare matrix product measured in the same run. Ends at once,
with the reason, where there is no GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from random_llama import LLAMA_7B, LLAMA_70B, RandomWeights, matmul_rate, products_of_walk
from transformers import LlamaConfig

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Weights
from tailored_llama.families import Kept
from tailored_llama.recipe import Prune, Tune
from tailored_llama.scoring import Request, loglikelihoods
from tailored_llama.stages.prune.planner import plan_units
from tailored_llama.stages.prune.surgery import CutWeights
from tailored_llama.training.batches import Material, Shot
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach

SAMPLES, LENGTH, SHOTS, EPOCHS, CHOICES = 10, 64, 50, 3, 512
DEVICE = "cuda"


def step(name: str, tokens: int, flops: float, bare: float, work: Callable[[], Any]) -> Any:
    """Do `work`, which multiplies `flops` numbers, and print a row of the table."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    memory = torch.cuda.max_memory_allocated() / 1e9
    share = f"{flops / bare / seconds:.2f}" if flops else ""
    speed = f"{tokens / seconds:.0f}" if tokens else ""
    print(f"| {name} | {seconds:.2f} | {speed} | {memory:.2f} | {share} |", flush=True)
    return result


def walk(weights: Weights, precision: str) -> Kept:
    """Taylor scores of all layers but the first four and the last two, and the plan from them."""
    config = weights.config
    last = config.num_hidden_layers - 2
    first = min(4, last - 1)
    settings = Prune.model_validate(
        {"ratio": 0.25, "of": "units", "layers": (first, last), "precision": precision}
    )
    tokens = torch.randint(config.vocab_size, (SAMPLES, LENGTH))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    bare = max(matmul_rate(config, tokens.numel(), dtype, DEVICE)[0].values())
    print(f"| bare products, {bare / 1e12:.0f} TFLOP/s | | | | |")
    plans = step(
        f"walk, {config.num_hidden_layers} layers",
        tokens.numel(),
        sum(products_of_walk(config, SAMPLES, LENGTH, range(first, last)).values()),
        bare,
        lambda: plan_units(weights, settings, tokens, 42, device=DEVICE),
    )
    return plans[settings.ratio]


def tune_and_evaluate(model: Any) -> None:
    """Answers of a few tokens behind 128 random ones."""
    config = model.config
    # The embedding is looked up, and the head reads answers only.
    numbers = sum(p.numel() for p in model.parameters()) - 2 * config.vocab_size * config.hidden_size
    bare = max(matmul_rate(config, 2048, model.dtype, DEVICE)[0].values())
    rows = [tuple(row.tolist()) for row in torch.randint(config.vocab_size, (CHOICES, 129))]
    step(
        f"evaluate, {CHOICES} choices of 128 tokens", CHOICES * 128, 2.0 * CHOICES * 128 * numbers, bare,
        lambda: loglikelihoods(model, [(row[:-1], row[-4:]) for row in rows]),
    )  # fmt: skip
    material = Material([Shot((Request(0, 0, row[:-1], row[-2:], False),)) for row in rows[:SHOTS]])
    settings = Tune.model_validate(
        {"shots": SHOTS, "epochs": EPOCHS, "batch_size": 16, "precision": "bf16"}
    )  # fmt: skip
    adapted, read = attach(model, settings.lora), EPOCHS * SHOTS * 128
    # Forward and the gradient of the inputs: the model's own matrices take none.
    step(
        f"tune, {SHOTS} shots of 128 tokens, {EPOCHS} epochs", read, 4.0 * read * numbers, bare,
        lambda: fit(adapted, material, settings, seed=0),
    )  # fmt: skip


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=["7b", "70b"], default="7b")
    parser.add_argument("--layers", type=int, default=None)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: this benchmark needs a CUDA device, and torch finds none", file=sys.stderr)
        return
    torch.manual_seed(0)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {chosen.precision}")
    print("| step | seconds | tokens/s | peak, GB | share of the bare rate |\n|---|---|---|---|---|")
    shape, layers = LLAMA_7B, chosen.layers or 32
    if chosen.shape == "70b":
        shape, layers = LLAMA_70B, chosen.layers or 4
        walk(RandomWeights(LlamaConfig(**shape), recycle=True, device=DEVICE), chosen.precision)
        torch.cuda.empty_cache()
    config = LlamaConfig(**{**shape, "num_hidden_layers": layers})
    drawn = RandomWeights(config, device=DEVICE)
    whole = checkpoint.ModelWeights(checkpoint.load_model(drawn, device=DEVICE))
    kept = walk(whole, chosen.precision)
    model = step(
        "cut", 0, 0.0, 1.0, lambda: checkpoint.load_model(CutWeights(whole, kept), device=DEVICE)
    )  # fmt: skip
    del whole
    torch.cuda.empty_cache()
    tune_and_evaluate(model)


if __name__ == "__main__":
    main()
