"""`tailor measure`: what a model weighs and how fast it is, from its config alone or by running it."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

REPEATS = 5
DECODED = 32


def measure(model: str | Path, *, config_only: bool = False, length: int = 64) -> dict[str, Any]:
    """Sizes by formula, and unless `config_only` speeds by the clock (batch 1, medians of 5).

    `macs` are of one sequence of `length` tokens; `weights_bytes` in the checkpoint's own precision;
    `prefill_seconds` of one forward over `length` tokens; `decode_tokens_per_second` over 32 greedy tokens
    after it. Raises CheckpointError for a model that is not there, FamilyError for one that is not known.
    """
    from tailored_llama import checkpoint, families

    config = checkpoint.load_config(model)
    params = families.parameter_count(config)
    dtype = getattr(config, "dtype", None)
    facts: dict[str, Any] = {
        "family": config.model_type,
        "params": params,
        "macs": families.mac_count(config, length),
        "weights_bytes": params * (dtype.itemsize if dtype is not None else 4),
    }
    return facts if config_only else facts | _run(model, length)


def _run(model: str | Path, length: int) -> dict[str, Any]:
    import torch

    from tailored_llama import checkpoint
    from tailored_llama.evaluate.memory import peak_memory

    loaded = checkpoint.load_model(model)
    tokens = torch.randint(loaded.config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        loaded(tokens)  # the first call pays for allocation
        prefill = statistics.median(_seconds(lambda: loaded(tokens)) for _ in range(REPEATS))
        total = statistics.median(
            _seconds(
                lambda: loaded.generate(
                    tokens, max_new_tokens=DECODED, min_new_tokens=DECODED, do_sample=False, pad_token_id=0
                )
            )
            for _ in range(REPEATS)
        )
    return {
        "prefill_seconds": round(prefill, 6),
        "decode_tokens_per_second": round((DECODED - 1) / max(total - prefill, 1e-9), 2),
        "peak_memory": peak_memory(),
    }


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
