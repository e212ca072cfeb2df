"""Fixtures for every tier: where the real data lies, and a pico model with rows to tune it on.

Tests only read what has the scope of a session; they change copies.
"""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import ROOT

# The same examples on every machine and in every run, so that a failure is of the change at hand;
# HYPOTHESIS_PROFILE=random draws others. The campaign draws its own, by seed.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

os.environ.setdefault("HF_HUB_OFFLINE", "1")
CACHE = tempfile.TemporaryDirectory()  # digests of test files are no business of the user's own cache
os.environ["TAILORED_LLAMA_CACHE"] = CACHE.name
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: further threads would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Leave the objects of imported modules out of garbage collection: they are many, and none is garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference selections beside the checkout; TAILOR_SHARED names another."""
    path = Path(os.environ.get("TAILOR_SHARED", ROOT.parent / "shared"))
    if not (path / "golden").is_dir():
        pytest.skip(f"no real data at {path}; set TAILOR_SHARED")
    return path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico model to tune, with a tokenizer of whole words."""
    from tests.support.tuning import write_base

    return write_base(tmp_path_factory.mktemp("base") / "pico")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Thirty rows of boolq to train on, ten others to be scored."""
    from tests.support.tuning import write_boolq

    return write_boolq(tmp_path_factory.mktemp("boolq"))
