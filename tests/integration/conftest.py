"""Fixtures of whole runs: a refused command line, a real browser, an older transformers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.cli import execute
from tests.support.healing import write_unpruned
from tests.support.older_readers import installed
from tests.support.refusals import Say

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1000"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium that keeps a record of its requests."""
    pytest.importorskip("selenium", reason="no selenium: pip install selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium with its chromedriver on the PATH")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = Chrome(options=options, service=Service(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that must fail; return the one line it says. It must leave the folder as it was."""

    def run(*arguments: str | Path) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        capsys.readouterr()
        assert execute([str(argument) for argument in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        lines = [line for line in output.err.splitlines() if line.startswith("tailor: ")]
        assert len(lines) == 1
        assert "Traceback" not in output.err
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return lines[0]

    return run


@pytest.fixture(scope="session")
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with transformers 4.57, installed at the first use and kept in pytest's cache."""
    cache = getattr(request.config, "cache", None)
    return installed(
        Path(cache.mkdir("readers")) if cache is not None else tmp_path_factory.mktemp("readers")
    )


@pytest.fixture(scope="session")
def unpruned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher of the tests of healing: a model whose layers the student differs in."""
    return write_unpruned(base, tmp_path_factory.mktemp("teacher") / "pico")
