"""A run directory for the tests of pages and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.reports import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory as the pipeline leaves it, without weights."""
    return write_run(tmp_path / "run")
