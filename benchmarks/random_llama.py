"""What the benchmarks of the walk share: random LLaMAs that need no memory, and rates to compare with."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tailored_llama import machine
from tailored_llama.checkpoint.config import expected_tensors

LLAMA_7B: dict[str, Any] = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32,
}  # fmt: skip
LLAMA_70B: dict[str, Any] = {
    "vocab_size": 32000, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8,
}  # fmt: skip
BLOCK = 2**20 + 7


class RandomWeights:
    """A LLaMA of random numbers in bf16, made tensor by tensor; with `recycle` every layer is the first one,
    drawn once and kept, so that a model of any depth fits into memory."""

    def __init__(self, config: LlamaConfig, *, recycle: bool = False, device: str = "cpu") -> None:
        self.config, self.recycle, self.device = config, recycle, device
        self._shapes = expected_tensors(config)[0]
        self._kept: dict[str, Tensor] = {}
        generator = torch.Generator(device).manual_seed(0)
        block = torch.empty(BLOCK, dtype=torch.float32, device=device).normal_(0.0, 0.02, generator=generator)
        self._block = block.to(torch.bfloat16)

    def names(self) -> list[str]:
        return list(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def dtype(self, name: str) -> torch.dtype:
        return torch.bfloat16

    def tensor(self, name: str) -> Tensor:
        head, _, tail = name.partition(".layers.")
        key = f"{head}.{tail.partition('.')[2]}" if tail else name
        if key in self._kept:
            return self._kept[key]
        shape = self._shapes[name]
        if len(shape) == 1:
            drawn = torch.ones(shape, dtype=torch.bfloat16, device=self.device)
        else:
            # One block of numbers over and over: drawing seven billion takes longer than pruning them.
            numbers = torch.Size(shape).numel()
            at = sum(map(ord, name)) % (BLOCK // 2)
            block = self._block[at:].repeat(-(-numbers // (BLOCK - at)))
            drawn = block[:numbers].view(shape)
        if self.recycle:
            self._kept[key] = drawn
        return drawn


def layer_parameters(config: LlamaConfig) -> int:
    """Numbers in the seven matrices of one layer."""
    width, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    return width * head * 2 * (heads + config.num_key_value_heads) + 3 * width * config.intermediate_size


def products_of_walk(config: LlamaConfig, samples: int, length: int, scored: range) -> dict[str, float]:
    """Floating-point operations of the matrix products of a Taylor walk, by the names of `matmul_rate`.

    Forward through every layer; back through those from the first scored one on, where each is computed again
    (2), gives the gradient of its inputs (2), and of its matrices if it is scored (2); the head forward and
    the gradient of its inputs. Attention's own products are counted in full, as eager attention does them.
    """
    tokens, layers = samples * length, config.num_hidden_layers
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    matrices = 2.0 * tokens * layer_parameters(config)
    attention = 2.0 * 2 * tokens * length * width
    back = range(scored.start, layers)
    # Nothing in front of the first scored layer wants a gradient, so q, k, v need not pass one on.
    spared = 2.0 * tokens * config.hidden_size * (width + 2 * width * config.num_key_value_heads
                                                  // config.num_attention_heads)  # fmt: skip
    head = 2.0 * samples * (length - 1) * config.vocab_size * config.hidden_size
    return {
        "forward": (layers + len(back)) * (matrices + attention) + head,
        "by inputs": len(back) * (matrices + 2 * attention) - spared + head,
        "by weights": len(scored) * matrices,
    }


def matmul_rate(
    config: LlamaConfig, tokens: int, dtype: torch.dtype, device: str = "cpu", repeats: int = 3
) -> tuple[dict[str, float], dict[str, float]]:
    """Operations a second, and a CPU second, of bare products of the walk's shapes: forward, by inputs, by
    weights; and of a square of 4096 (2048 on a CPU). On a machine that others use the second says more."""
    width, mlp = config.hidden_size, config.intermediate_size
    x, y = (torch.randn(tokens, n, device=device).to(dtype) for n in (width, mlp))
    w = torch.randn(mlp, width, device=device).to(dtype)
    side = 2048 if device == "cpu" else 4096
    square = torch.randn(side, side, device=device).to(dtype)
    work = 2.0 * tokens * width * mlp
    cases = {
        "forward": (lambda: x @ w.T, work), "by inputs": (lambda: y @ w, work),
        "by weights": (lambda: y.T @ x, work), "square": (lambda: square @ square, 2.0 * side**3),
    }  # fmt: skip
    rates, per_cpu = {}, {}
    for name, (product, flops) in cases.items():
        product()
        seconds, used = [], time.process_time()
        for _ in range(repeats):
            wait(device)
            started = time.perf_counter()
            product()
            wait(device)
            seconds.append(time.perf_counter() - started)
        rates[name] = flops / statistics.median(seconds)
        per_cpu[name] = flops / (time.process_time() - used) * repeats
    return rates, per_cpu


def wait(device: str) -> None:
    """Until the device has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak_memory() -> float:
    """Largest resident memory of this process so far, GB."""
    return machine.peak_memory() / 1e9


def write_llama(folder: Path, hidden: int, layers: int) -> Path:
    """A random LLaMA with heads of 64 and 32000 words, in bf16 on the disk."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=hidden * 43 // 16,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def read_from_disk() -> int:
    """Bytes that this process has had to wait for the disk for; 0 where the system does not say."""
    path = Path("/proc/self/io")
    if not path.is_file():
        return 0
    lines = dict(line.split(": ") for line in path.read_text().splitlines())
    return int(lines["read_bytes"])
