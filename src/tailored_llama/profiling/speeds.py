"""Speeds of several models: one process per model, measured in alternation."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.errors import TailorError
from tailored_llama.profiling.worker import Figures, Sizes
from tailored_llama.progress import track
from tailored_llama.recipe import Measure
from tailored_llama.results import Speed, SpeedRatios
from tailored_llama.strict_json import to_json

RATES = ("first_token_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "peak_memory")


def speeds(models: Sequence[str | Path], chosen: Measure) -> list[list[Speed]]:
    """For each model one entry per backend and batch, with `ratios` relative to the first model."""
    dtype, batches = chosen.dtype, chosen.batches
    results: list[list[Speed]] = [[] for _ in models]
    for backend in chosen.backends:
        with tempfile.TemporaryDirectory(prefix="tailor-measure-") as folder, ExitStack() as stack:
            places = [
                _place(model, backend, dtype, Path(folder) / f"{i}.gguf") for i, model in enumerate(models)
            ]
            sizes = Sizes(
                length=chosen.length, new=chosen.new, batch=max(batches), threads=chosen.threads or _cores(),
                device=chosen.device,
                allow_config=sorted(checkpoint.accepted_now()),
            )  # fmt: skip
            workers = [
                stack.enter_context(Worker(backend, str(model), place, sizes))
                for model, place in zip(models, places, strict=True)
            ]
            # Alternate between the models at every repeat, so that other load on the machine affects all
            # equally.
            turns = [
                (worker, entries, batch)
                for _ in range(chosen.repeats)
                for batch in batches
                for worker, entries in zip(workers, results, strict=True)
            ]
            for worker, entries, batch in track(turns, f"measuring in {backend}"):
                known = {"backend": backend, "dtype": dtype, "batch": batch}
                entries.append(Speed.model_validate({**known, **worker.ask(batch)}))
    return compared([_medians(entries) for entries in results])


def compared(timed: Sequence[Sequence[Speed]]) -> list[list[Speed]]:
    """The entries with `ratios` relative to those of the first model."""
    return [
        [
            entry.model_copy(
                update={"ratios": SpeedRatios(**{key: entry[key] / first[key] for key in RATES})}
            )
            for entry, first in zip(entries, timed[0], strict=True)
        ]
        for entries in timed
    ]


def _medians(entries: Sequence[Speed]) -> list[Speed]:
    """One entry per backend and batch: median rates, maximum memory."""
    groups: dict[tuple[str, int], list[Speed]] = {}
    for entry in entries:
        groups.setdefault((entry.backend, entry.batch), []).append(entry)
    return [
        group[0].model_copy(
            update={
                **{key: statistics.median(entry[key] for entry in group) for key in RATES[:-1]},
                "peak_memory": max(entry.peak_memory for entry in group),
            }
        )
        for group in groups.values()
    ]


def _place(model: str | Path, backend: str, dtype: str, path: Path) -> Path:
    """The path that the backend loads: the checkpoint, or a GGUF file converted from it."""
    if backend == "transformers":
        return checkpoint.resolve(model)
    if importlib.util.find_spec("xllamacpp") is None:
        raise TailorError("llama.cpp is not installed: pip install 'tailored-llama[llamacpp]'")
    from tailored_llama.stages.export.gguf import nameless, to_gguf

    weights = checkpoint.open_weights(model)
    # The worker sends token ids, so the tokenizer does not matter.
    words = nameless(int(weights.config.vocab_size))
    return to_gguf(weights, path, tokenizer_dir=None, dtype=dtype, vocabulary=words)


def _cores() -> int:
    """OMP_NUM_THREADS if set, else the number of cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) else os.cpu_count() or 1


class Worker:
    """A process with one model that measures one batch at a time (worker.py)."""

    def __init__(self, backend: str, name: str, place: Path, sizes: Sizes) -> None:
        quiet = ("-W", "ignore::FutureWarning")  # warnings of the libraries about each other
        command = [sys.executable, *quiet, "-m", "tailored_llama.profiling.worker", backend, str(place)]
        self._process = subprocess.Popen(
            [*command, to_json(sizes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(sizes["threads"])},
            start_new_session=True,  # only this process handles Ctrl-C; it then ends the worker
        )  # fmt: skip
        self._name = name

    def __enter__(self) -> Worker:
        try:
            self._read()  # wait until it has loaded, before the next one starts
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is KeyboardInterrupt:
            self._process.kill()
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, batch: int) -> Figures:
        """Measure one batch: prompt processing and decoding."""
        assert self._process.stdin is not None
        print(to_json(batch), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Figures:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: Any = json.loads(line)
                if "error" in answer:
                    raise TailorError(f"{self._name}: {answer['error']}")
                figures: Figures = answer
                return figures
        code = self._process.wait()
        raise TailorError(
            f"{self._name}: the measuring process ended ({code}), most likely for lack of memory; "
            f"measure fewer models or smaller batches at once"
        )
