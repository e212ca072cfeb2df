"""The short form of the campaign, with a fixed seed: a minute or two. `make campaign` is the long one."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT


def test_a_few_cases_of_every_kind() -> None:
    command = [sys.executable, "-m", "tests.campaign", "--short", "--seed", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr[-2000:]}"
