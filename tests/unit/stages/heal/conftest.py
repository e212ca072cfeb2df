"""The teacher of the tests of healing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.healing import write_unpruned


@pytest.fixture(scope="session")
def unpruned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose layers the student differs in."""
    return write_unpruned(base, tmp_path_factory.mktemp("teacher") / "pico")
