"""`tailor measure`: sizes and speeds of several models, measured side by side in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tailored_llama.errors import RecipeError

__all__ = ["BACKENDS", "FILE", "measure"]

BACKENDS = ("transformers", "llama.cpp")
FILE = "measure.json"


def measure(
    models: Sequence[str | Path],
    *,
    config_only: bool = False,
    length: int = 64,
    new: int = 32,
    batches: Sequence[int] = (1,),
    backends: Sequence[str] = ("transformers",),
    dtype: str = "f16",
    repeats: int = 5,
    threads: int | None = None,
    allow_config: Sequence[str] = (),
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Sizes from the config and, unless `config_only`, measured speeds: medians over `repeats`.

    Returns `{"models": [...], "settings": {...}, "versions": {...}}` with one entry per model, in the given
    order. `macs` are for one sequence of `length` tokens; `ratios` are relative to the first model. `speeds`
    has an entry for each of `backends` and `batches`: a batch of prompts of `length` tokens is processed
    (`first_token_seconds`, `prefill_tokens_per_second`) and each prompt continued greedily by `new` tokens
    (`decode_tokens_per_second`, over all rows, after the first token); `peak_memory` is that of the measuring
    process, in bytes. transformers runs in the precision of the checkpoint, llama.cpp on a GGUF file in
    `dtype`.

    Every model has its own process, and the models alternate at each repeat. With `out`, the result is
    written to measure.json there; an existing result for the same settings and files is returned at once.
    `allow_config` names unknown attributes of config.json to accept. Raises CheckpointError for a missing
    model, FamilyError for an unsupported one, RecipeError for invalid settings, TailorError without the extra
    `llamacpp`, OutputError.
    """
    # Imported here: the process that measures llama.cpp imports this package and should not load torch.
    from tailored_llama import checkpoint
    from tailored_llama.profiling.sizes import sizes
    from tailored_llama.stage import Stage, complete, versions
    from tailored_llama.stage.inputs import merged, model_inputs

    _check(models, batches, backends, repeats, new)
    settings: dict[str, Any] = {
        "models": [str(model) for model in models], "length": length, "new": new, "batches": list(batches),
        "backends": list(backends), "dtype": dtype, "repeats": repeats, "threads": threads,
        "config_only": config_only,
    }  # fmt: skip

    def result() -> dict[str, Any]:
        with checkpoint.accepting(allow_config):
            return measured()

    def measured() -> dict[str, Any]:
        facts = [sizes(model, length, config_only=config_only) for model in models]
        if not config_only:
            from tailored_llama.profiling.speeds import speeds

            timed = speeds(models, length, new, batches, backends, dtype, repeats, threads)
            facts = [fact | {"speeds": speed} for fact, speed in zip(facts, timed, strict=True)]
        return {
            "models": [fact | {"ratios": ratios(fact, facts[0])} for fact in facts],
            "settings": settings,
            "versions": versions(),
        }

    if out is None:
        return result()

    def inputs() -> dict[str, str]:
        named = enumerate(map(checkpoint.resolve, models), start=1)
        return merged(model_inputs(f"model {n}", model) for n, model in named)()

    stage = Stage(
        "measure",
        {key: value for key, value in settings.items() if key != "models"},
        inputs,
        lambda folder: checkpoint.write_json(folder / FILE, result()),
    )
    stored = checkpoint.read_json(complete(stage, out) / FILE)
    # A stored result may have other paths or names of the same models.
    for fact, model in zip(stored["models"], models, strict=True):
        fact["model"] = str(model)
    return stored | {"settings": settings}


def ratios(fact: dict[str, Any], first: dict[str, Any]) -> dict[str, float]:
    """Sizes relative to those of the first model."""
    return {key: fact[key] / first[key] for key in ("params", "macs", "weights_bytes")}


def _check(
    models: Sequence[str | Path], batches: Sequence[int], backends: Sequence[str], repeats: int, new: int
) -> None:
    if not models:
        raise RecipeError("no model to measure; name at least one directory or hub id")
    for backend in backends:
        if backend not in BACKENDS:
            raise RecipeError(f"--backend: unknown backend '{backend}'; known: {', '.join(BACKENDS)}")
    if not backends or not batches:
        raise RecipeError("--backend and --batch: name at least one of each")
    if min(batches) < 1 or repeats < 1 or new < 2:
        raise RecipeError("--batch and --repeats must be at least 1, --new at least 2")
