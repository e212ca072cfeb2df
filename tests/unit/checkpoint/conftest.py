"""A pico checkpoint in one file, and in several."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pico import plain, saved


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return saved(plain(), tmp_path / "single")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return saved(plain(), tmp_path / "sharded", max_shard_size="20KB")
