"""Measurements as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from tailored_llama.reporting.fold import WIDTH, fold
from tailored_llama.reporting.formatting import count, size
from tailored_llama.results import MeasuredModel, Measurement, Speed


def tables(measured: Measurement, width: int = WIDTH) -> list[Table]:
    """Tables of sizes and, for each backend and batch, of speeds; ratios are relative to the first model.
    Each table fits `width` characters.
    """
    models, settings = measured.models, measured.settings
    made = fold(
        f"Sizes (MACs of {settings.length} tokens)",
        ["model", "parameters", "MACs", "weights", "of the first"],
        [
            [
                _name(model), count(model.params), count(model.macs), size(model.weights_bytes),
                f"{100 * model.ratios.params:.1f}%" if model.ratios else "",
            ]
            for model in models
        ],
        width=width,
    )  # fmt: skip
    for place, first in enumerate(models[0].speeds):
        made += fold(
            f"{first.backend}, {first.dtype}, batch {first.batch}: {settings.length} tokens read, "
            f"{settings.new} written, medians of {settings.repeats}",
            ["model", "first token", "prefill, tok/s", "decode, tok/s", "peak memory"],
            [_speeds(model, model.speeds[place]) for model in models],
            width=width,
        )
    return made


def _speeds(model: MeasuredModel, speed: Speed) -> list[str]:
    prefill = decode = ""
    if speed.ratios:
        prefill = f" ({speed.ratios.prefill_tokens_per_second:.2f}x)"
        decode = f" ({speed.ratios.decode_tokens_per_second:.2f}x)"
    return [
        _name(model),
        f"{1000 * speed.first_token_seconds:.1f} ms",
        f"{speed.prefill_tokens_per_second:.0f}{prefill}",
        f"{speed.decode_tokens_per_second:.1f}{decode}",
        size(speed.peak_memory),
    ]


def _name(model: MeasuredModel) -> str:
    parts = model.model.rstrip("/").split("/")
    return "/".join(parts[-2:])
