"""transformers 4.57, in a folder of its own, and a process that reads checkpoints with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

VERSION = "4.57.3"
NEEDED = (f"transformers=={VERSION}", "huggingface-hub>=0.34,<1", "tokenizers>=0.22,<=0.23.0")
"""What differs from the versions of this environment; the rest of what it needs is in here."""


def installed(home: Path) -> Path:
    """The folder with transformers 4.57, installed into `home` at first; skips without a registry."""
    folder = home / f"transformers-{VERSION}"
    if not folder.is_dir():
        fresh = home / f"unfinished-{os.getpid()}"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh)]
        done = subprocess.run(
            [*command, "--retries", "0", "--timeout", "20", *NEEDED],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(
                f"transformers {VERSION} cannot be installed, is there a package registry? ({reason})"
            )
        with suppress(OSError):  # another process of the tests was first
            fresh.rename(folder)
    return folder


def read_by(older: Path, code: str, home: Path, *arguments: object) -> list[Any]:
    """What `code` prints, a JSON value a line, in a process with the transformers in `older` and not us."""
    environment = os.environ | {
        "PYTHONPATH": str(older), "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    start = f"""
import json, sys
sys.modules["tailored_llama"] = None
import torch, transformers
assert transformers.__version__ == "{VERSION}", transformers.__version__
"""
    done = subprocess.run(
        [sys.executable, "-c", start + code, *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
