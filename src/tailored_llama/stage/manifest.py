"""`manifest.json`: the contents of a stage directory, its inputs, and checks that it is unchanged."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tailored_llama.checkpoint import digest_file, is_leftover, read_json, write_json
from tailored_llama.errors import CheckpointError
from tailored_llama.stage.locks import is_lock
from tailored_llama.strict_json import Json, to_json

MANIFEST = "manifest.json"
PACKAGES = ("tailored-llama", "torch", "transformers", "peft", "lm_eval", "safetensors")
EDITION = 2
"""Version number in every fingerprint. Results of earlier editions are computed again."""


class Output(BaseModel):
    """One file of a stage."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """The record of a finished stage. `fingerprint` covers the stage, its settings, inputs and seed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: str
    settings: dict[str, JsonValue]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    versions: dict[str, str]
    seed: int | None
    seconds: float
    fingerprint: str | None = None
    owner: str | None = None
    """The workflow that wrote it (`run`, `matrix`); none for a single command."""
    working: list[str] = []
    """Names of the working directories next to it that the stage used; removed when it is complete."""
    stages: dict[str, str] = {}
    """Only for a run: the fingerprints of its stages, by name."""


def fingerprint(stage: str, settings: Mapping[str, Json], inputs: Mapping[str, str], seed: int | None) -> str:
    """The digest of everything that determines the contents of a stage: settings and digests of inputs, no
    paths.
    """
    content = {
        "edition": EDITION,
        "stage": stage,
        "settings": dict(settings),
        "inputs": dict(inputs),
        "seed": seed,
    }
    return hashlib.sha256(to_json(content, sort_keys=True).encode()).hexdigest()


def read_manifest(directory: str | Path) -> Manifest:
    """The manifest of a stage directory; CheckpointError if it is missing or damaged."""
    path = Path(directory) / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{directory} has no {MANIFEST}, so it is not a finished stage; name another directory"
        )
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{path}: damaged ({key}: {first['msg']}); delete {directory} or name another directory"
        ) from None


def outputs_of(root: Path, *, deep: bool = True) -> dict[str, Output]:
    """Size and digest of every file below `root` (directly in `root` unless `deep`), except the manifest."""
    files = root.rglob("*") if deep else root.iterdir()
    return {
        path.relative_to(root).as_posix(): Output(sha256=digest_file(path), bytes=path.stat().st_size)
        for path in sorted(files)
        if path.is_file() and path.name != MANIFEST and not _hidden(path, root)
    }


def difference(root: Path, manifest: Manifest) -> str | None:
    """A description of the first difference between `root` and its manifest; None if all files are
    unchanged.
    """
    recorded = (manifest.stage, manifest.settings, manifest.inputs, manifest.seed)
    if manifest.fingerprint not in (None, fingerprint(*recorded)):
        return f"{MANIFEST} was edited"
    for name, output in manifest.outputs.items():
        path = root / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != output.bytes or digest_file(path) != output.sha256:
            return f"{name} was changed"
    return None


def stages_of(root: Path) -> dict[str, str]:
    """{name: fingerprint} of the finished stages in the run directory `root`."""
    fingerprints = {}
    for path in sorted(path for path in root.iterdir() if (path / MANIFEST).is_file()):
        with suppress(CheckpointError):
            fingerprints[path.name] = read_manifest(path).fingerprint
    return {name: value for name, value in fingerprints.items() if value is not None}


def foreign_files(root: Path, manifest: Manifest) -> list[Path]:
    """Files below `root` that are not in its manifest."""
    listed = {*manifest.outputs, MANIFEST}
    files = (path for path in root.rglob("*") if path.is_file() and not _hidden(path, root))
    return sorted(path for path in files if path.relative_to(root).as_posix() not in listed)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write the manifest of `root`, in one step."""
    write_json(root / MANIFEST, manifest.model_dump(mode="json", exclude_none=False))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def _hidden(path: Path, root: Path) -> bool:
    """Whether `path` is a lock file, a partial file, or in a partial directory."""
    return is_lock(path) or any(is_leftover(Path(part)) for part in path.relative_to(root).parts)
