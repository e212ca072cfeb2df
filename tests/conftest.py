"""Fixtures for every tier: where the real data lies, and pico models built from real config classes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support import ROOT

os.environ.setdefault("HF_HUB_OFFLINE", "1")
CACHE = tempfile.TemporaryDirectory()  # digests of test files are no business of the user's own cache
os.environ["TAILORED_LLAMA_CACHE"] = CACHE.name
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference selections beside the checkout; TAILOR_SHARED names another."""
    path = Path(os.environ.get("TAILOR_SHARED", ROOT.parent / "shared"))
    if not (path / "golden").is_dir():
        pytest.skip(f"no real data at {path}; set TAILOR_SHARED")
    return path
