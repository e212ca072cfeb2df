"""Tuning against plain Trainer + PEFT: the same model, shots, batches, loss and tokens, in one run.

`python benchmarks/tune.py [--steps 4] [--repeats 3]`. A random LLaMA of 268M parameters (M: hidden 1024, 16
layers), 50 shots of 128 tokens of which the last `--answer` are to be predicted, batch 4, LoRA as in the
recipes. Both sides train on the same batches in the same order from the same adapters with the same schedule
and share of dropout, in fp32 and in bf16. Each side has a process of its own, set up as its users have it:
ours keeps freed memory, as the command `tailor` does (`machine.settle`). They run in turns, the first round
warms up, and what is reported is the median of samples a second, of the wall clock and of the process.
Losses stand beside one another by step: with `--dropout 0` in fp32 they are equal to rounding.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainingArguments

from tailored_llama import machine
from tailored_llama.recipe import Lora, Tune
from tailored_llama.scoring import Request
from tailored_llama.training.batches import Material, Shot
from tailored_llama.training.epochs import epochs
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import MODULES, attach

SHOTS, TOKENS, BATCH, RATE, SEED = 50, 128, 4, 1e-4, 1
SIDES = ("Trainer", "tailor")


class InOrder(Trainer):
    """A Trainer that takes the rows as they come, in batches of `sizes`."""

    sizes: Sequence[int]

    def get_train_dataloader(self) -> DataLoader[Any]:
        ends = list(accumulate(self.sizes))
        steps = [list(range(end - size, end)) for end, size in zip(ends, self.sizes, strict=True)]
        return DataLoader(self.train_dataset, batch_sampler=steps, collate_fn=self.data_collator)


def random_model(hidden: int, layers: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
            intermediate_size=hidden * 43 // 16,
        )
    )  # fmt: skip


def random_shots(count: int, answer: int) -> list[Shot]:
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(32000, (count, TOKENS), generator=draw).tolist()
    return [
        Shot((Request(i, 0, tuple(ids[:-1]), tuple(ids[-answer:]), cut=False),))
        for i, ids in enumerate(tokens)
    ]


def ours(model: LlamaForCausalLM, shots: list[Shot], lora: Lora, precision: str) -> list[float]:
    """Losses by step of our loop."""
    settings = Tune(epochs=1, batch_size=BATCH, learning_rate=RATE, warmup=0, lora=lora, precision=precision)
    attach(model, lora)
    return [record["loss"] for record in fit(model, Material(shots), settings, seed=SEED)]


def theirs(model: LlamaForCausalLM, shots: list[Shot], lora: Lora, precision: str) -> list[float]:
    """Losses by step of Trainer and PEFT, on the batches that our loop makes."""
    from peft import LoraConfig, get_peft_model

    (steps,) = epochs(Material(shots), BATCH, 1, SEED)
    rows = []
    for (batch,) in steps:
        for row in range(len(batch.ids)):
            own = batch.targets[batch.choice == row]
            ids = torch.cat([batch.ids[row], own[-1:]])
            labels = torch.full_like(ids, -100)
            labels[-len(own) :] = own
            rows.append({"input_ids": ids, "labels": labels})
    config = LoraConfig(
        task_type="CAUSAL_LM", r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
        target_modules=sorted({name for names in MODULES.values() for name in names}),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=RATE,
            lr_scheduler_type="cosine", warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0, logging_steps=1,
            save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, bf16=precision == "bf16",
            seed=SEED, optim="adamw_torch_fused", dataloader_drop_last=False,
        )  # fmt: skip
        trainer = InOrder(get_peft_model(model, config), arguments, train_dataset=rows)
        trainer.sizes = [len(batch.ids) for (batch,) in steps]
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def work(chosen: argparse.Namespace) -> None:
    """One side in one precision: a training for every line that is read, a line of JSON for each."""
    side, precision = chosen.worker
    if side == "tailor":
        machine.settle()
    model = random_model(chosen.hidden, chosen.layers)
    count = min(SHOTS, BATCH * chosen.steps) if chosen.steps else SHOTS
    shots, lora = random_shots(count, chosen.answer), Lora(dropout=chosen.dropout)
    for _ in sys.stdin:
        own = copy.deepcopy(model)
        torch.manual_seed(SEED)
        used, started = time.process_time(), time.perf_counter()
        losses = (theirs if side == "Trainer" else ours)(own, shots, lora, precision)
        wall, cpu = time.perf_counter() - started, time.process_time() - used
        parameters = sum(p.numel() for p in model.parameters())
        found = {"wall": wall, "cpu": cpu, "losses": losses, "shots": count, "parameters": parameters}
        print(json.dumps(found), flush=True)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Every side in every precision, in turns."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
    workers = {
        f"{side} {precision}": subprocess.Popen(
            [*command, side, precision], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for precision in chosen.precisions
        for side in SIDES
    }
    found: dict[str, dict[str, Any]] = {name: {"wall": [], "cpu": []} for name in workers}
    for repeat in range(chosen.repeats + 1):  # the first warms up
        for name, worker in workers.items():
            assert worker.stdin
            assert worker.stdout
            worker.stdin.write("once\n")
            worker.stdin.flush()
            entry = json.loads(worker.stdout.readline())
            print(f"{name}: {entry['wall']:.1f} s, {entry['cpu']:.1f} s of the CPU", file=sys.stderr)
            found[name]["losses"] = entry["losses"]
            for key in ("wall", "cpu") if repeat else ():
                found[name][key].append(entry[key])
    for worker in workers.values():
        worker.communicate()
    return {"shots": entry["shots"], "parameters": entry["parameters"], "sides": found}


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=0, help="of batch 4; 0 is all 50 shots")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--answer", type=int, default=8, help="tokens of a shot that are predicted")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen)
        return
    results = measure(chosen)
    count = results["shots"]
    print(
        f"\n{results['parameters'] / 1e6:.0f}M parameters, {count} shots of {TOKENS} tokens, {chosen.answer} "
        f"of them predicted, dropout {chosen.dropout:g}, {torch.get_num_threads()} threads, "
        f"medians of {chosen.repeats}\n"
    )
    print("| | samples/s | samples/CPU s | over Trainer fp32, wall | CPU |\n|---|---:|---:|---:|---:|")
    medians = {
        name: tuple(count / statistics.median(entry[key]) for key in ("wall", "cpu"))
        for name, entry in results["sides"].items()
    }
    base = medians.get("Trainer fp32", next(iter(medians.values())))
    for name, (wall, cpu) in medians.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |")
    print("\nLoss by step:\n\n| step | " + " | ".join(medians) + " |\n|---|" + "---:|" * len(medians))
    for step, losses in enumerate(
        zip(*(entry["losses"] for entry in results["sides"].values()), strict=True), start=1
    ):
        print(f"| {step} | " + " | ".join(f"{loss:.4f}" for loss in losses) + " |")
    print(json.dumps(results["sides"]), file=sys.stderr)


if __name__ == "__main__":
    main()
