"""Measurements as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tailored_llama.reporting.formatting import count, size


def tables(measured: Mapping[str, Any]) -> list[Table]:
    """A table of sizes and, for each backend and batch, one of speeds; ratios are relative to the first
    model.
    """
    models, settings = measured["models"], measured["settings"]
    weights = _table(
        f"Sizes (MACs of {settings['length']} tokens)",
        "model",
        "parameters",
        "MACs",
        "weights",
        "of the first",
    )
    for model in models:
        weights.add_row(
            _name(model), count(model["params"]), count(model["macs"]), size(model["weights_bytes"]),
            f"{100 * model['ratios']['params']:.1f}%",
        )  # fmt: skip
    return [weights, *(_speeds(models, settings, place) for place in range(len(models[0].get("speeds", []))))]


def _speeds(models: list[dict[str, Any]], settings: Mapping[str, Any], place: int) -> Table:
    first = models[0]["speeds"][place]
    table = _table(
        f"{first['backend']}, {first['dtype']}, batch {first['batch']}: {settings['length']} tokens read, "
        f"{settings['new']} generated, medians of {settings['repeats']}",
        "model", "first token", "prefill, tok/s", "decode, tok/s", "peak memory",
    )  # fmt: skip
    for model in models:
        speed = model["speeds"][place]
        rate = speed["ratios"]
        table.add_row(
            _name(model),
            f"{1000 * speed['first_token_seconds']:.1f} ms",
            f"{speed['prefill_tokens_per_second']:.0f} ({rate['prefill_tokens_per_second']:.2f}x)",
            f"{speed['decode_tokens_per_second']:.1f} ({rate['decode_tokens_per_second']:.2f}x)",
            size(speed["peak_memory"]),
        )
    return table


def _name(model: Mapping[str, Any]) -> str:
    parts = str(model["model"]).rstrip("/").split("/")
    return "/".join(parts[-2:])


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
