"""The wheel carries all that the demo needs: it runs from any folder, without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout and unpacked; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def tailor(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailored_llama", *arguments],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(installed)},
        text=True, capture_output=True, check=False,
    )  # fmt: skip


def test_a_small_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = tailor(
        installed, tmp_path, "demo", "--out", "here", "--json", "--set", "tasks=[world_piqa]",
        "--set", "tune.epochs=1", "--set", "evaluate.limit=10", "--set", "evaluate.perplexity=[]",
        "--set", "heal.texts=16", "--set", "heal.epochs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {row["stage"] for row in json.loads(done.stdout)["rows"]} == {
        "dense", "pruned", "healed", "tuned", "dense_tuned",
    }  # fmt: skip
    assert (tmp_path / "here" / "report.html").is_file()


def test_the_code_that_runs_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    code = "import tailored_llama; print(tailored_llama.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(installed)
