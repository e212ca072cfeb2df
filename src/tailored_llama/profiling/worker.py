"""One model in its own process: `python -m tailored_llama.profiling.worker BACKEND MODEL SETTINGS`.

It prints `{}` when the model is loaded and warm. For each line on stdin, a number of rows, it processes that
many prompts, continues them, and prints the times and the memory as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import TypedDict

from tailored_llama.errors import TailorError
from tailored_llama.machine import device_named, peak_memory, reset_peak
from tailored_llama.memory import memory_for
from tailored_llama.strict_json import to_json

Timed = Callable[[int], tuple[float, float]]
"""Rows -> (seconds to the first tokens, seconds from there to the last ones)."""


class Sizes(TypedDict):
    """What a worker measures with; `batch` is the largest that it will be given."""

    length: int
    new: int
    batch: int
    threads: int
    device: str
    allow_config: list[str]


class Figures(TypedDict, total=False):
    """What a worker answers: how the model runs, then seconds, tokens a second and bytes."""

    dtype: str
    device: str
    first_token_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    peak_memory: int


def transformers(path: str, sizes: Sizes) -> tuple[Timed, Figures]:
    """The model in its stored precision, on the requested device."""
    import torch

    from tailored_llama import checkpoint
    from tailored_llama.profiling.greedy import decode

    length, new = sizes["length"], sizes["new"]
    torch.set_num_threads(sizes["threads"])
    device = device_named(sizes["device"])
    with checkpoint.accepting(sizes["allow_config"]):
        model = checkpoint.load_model(path, device=device)
    dice = torch.Generator().manual_seed(0)

    def timed(rows: int) -> tuple[float, float]:
        ids = torch.randint(int(model.config.vocab_size), (rows, length), generator=dice).to(device)
        decoded = decode(model, ids, new)
        return decoded.first, decoded.seconds - decoded.first

    return timed, {"dtype": str(model.dtype).removeprefix("torch."), "device": device}


def llama_cpp(path: str, sizes: Sizes) -> tuple[Timed, Figures]:
    """A llama.cpp server on the CPU, with its default settings but without its prompt cache."""
    import xllamacpp

    length, new, batch = sizes["length"], sizes["new"], sizes["batch"]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = batch
    params.n_ctx = batch * (length + new + 8)
    params.n_batch = params.n_ubatch = max(512, batch * length)
    params.kv_unified = True
    params.n_gpu_layers = 0
    params.warmup = False
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = sizes["threads"]
    server = xllamacpp.Server(params)

    def timed(rows: int) -> tuple[float, float]:
        # Rows of one request start together; the ids do not matter, as long as none is special.
        prompts = [[3 + (row + place) % 40 for place in range(length)] for row in range(rows)]
        body = {
            "prompt": prompts if rows > 1 else prompts[0], "n_predict": new, "ignore_eos": True,
            "cache_prompt": False, "temperature": 0, "samplers": ["top_k"], "top_k": 1,
        }  # fmt: skip
        request = urllib.request.Request(f"{server.listening_address}/completion", to_json(body).encode())
        with urllib.request.urlopen(request) as answer:
            response = json.load(answer)
        times = [result["timings"] for result in (response if rows > 1 else [response])]
        assert all(result["predicted_n"] == new and result["prompt_n"] == length for result in times), times
        # The first token is available when the prompt has been processed.
        return max(t["prompt_ms"] for t in times) / 1e3, max(t["predicted_ms"] for t in times) / 1e3

    return timed, {"device": "cpu"}


def end_with_parent() -> None:
    """End this process soon after the one that started it: one that was killed closes no worker."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(backend: str, path: str, settings: Sizes) -> None:
    """Load, warm up, and measure until stdin ends."""
    length, new = settings["length"], settings["new"]
    timed, about = (llama_cpp if backend == "llama.cpp" else transformers)(path, settings)
    timed(settings["batch"])  # the first call includes allocation
    print("{}", flush=True)
    for line in sys.stdin:
        rows = int(line)
        reset_peak()
        first, decoding = timed(rows)
        figures: Figures = {
            **about,
            "first_token_seconds": first,
            "prefill_tokens_per_second": rows * length / first,
            "decode_tokens_per_second": rows * (new - 1) / decoding,
            "peak_memory": peak_memory(),
        }
        print(to_json(figures), flush=True)


if __name__ == "__main__":
    end_with_parent()
    try:
        with memory_for("measure", "lower --batch, --length or --new"):
            main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    except TailorError as error:
        print(to_json({"error": str(error)}), flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
