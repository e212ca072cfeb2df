"""Results on stdout: tables for people, one JSON object for programs."""

from __future__ import annotations

import json
from typing import Any


def show(result: dict[str, Any], as_json: bool) -> None:
    """Results on stdout: one JSON object, or tables."""
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console

    from tailored_llama.report import tables

    console = Console()
    for table in tables(result):
        console.print(table)


def show_facts(facts: dict[str, Any], as_json: bool) -> None:
    """A flat result: one JSON object, or a line a fact."""
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<18} {value:,}" if isinstance(value, int) else f"{name:<18} {value}")
