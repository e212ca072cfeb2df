"""Fixtures of the unit tests."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are empty: drawing takes most of the time of a page whose pictures the test does not read."""
    from matplotlib.figure import Figure

    def save(figure: Figure, file: Any, **_: Any) -> None:
        if hasattr(file, "write"):
            file.write("<svg viewBox='0 0 1 1'></svg>")

    monkeypatch.setattr(Figure, "savefig", save)
