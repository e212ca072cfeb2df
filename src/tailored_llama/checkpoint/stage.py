"""Directories that stages write: whole, with a manifest, or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from tailored_llama.checkpoint.digests import digest_file
from tailored_llama.checkpoint.disk import write_json
from tailored_llama.checkpoint.files import read_json
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.strict_json import to_json

MANIFEST = "manifest.json"
RECIPE = "recipe.json"
PACKAGES = ("tailored-llama", "torch", "transformers", "peft", "lm_eval", "safetensors")
log = logging.getLogger(__name__)


@contextmanager
def stage_directory(
    out: str | Path, *, stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str], seed: int | None
) -> Iterator[Path]:
    """A temporary directory beside `out` that takes its place when the block ends well.

    The manifest (stage, settings, digests of inputs and outputs, versions, seed, seconds) is written into it
    last. Whatever ends the block early, Ctrl-C included, leaves `out` as it was. Raises OutputError before
    anything is written where `out` holds something that is not an earlier result of the same stage.
    """
    out = Path(out).resolve()
    _check_replaceable(out, stage)
    started = time.monotonic()
    partial = _partial_directory(out)
    try:
        yield partial
        write_json(partial / MANIFEST, _manifest(partial, stage, settings, inputs, seed, started))
        _put_in_place(partial, out)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"{out}: the disk is full; make room or name another disk") from None
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def run_directory(
    out: str | Path, *, settings: Mapping[str, Any], inputs: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """The directory of a whole run: stages put theirs into it one by one, so that a run can be resumed.

    `recipe.json`, written first, marks it as a run; the manifest, written last, as complete. A new run that
    fails before its first stage is done leaves nothing behind. Raises OutputError where `out` holds anything
    else. `inputs` are digests of what the run reads, where the whole of it may be passed over later.
    """
    out = Path(out).resolve()
    if out.exists() and not _is_run(out):
        _require_empty(out)
    started = time.monotonic()
    _make_directory(out)
    (out / MANIFEST).unlink(missing_ok=True)
    write_json(out / RECIPE, _plain(settings))
    try:
        yield out
        write_json(
            out / MANIFEST, _manifest(out, "run", settings, inputs or {}, settings.get("seed"), started)
        )
    finally:
        if [path.name for path in out.iterdir()] == [RECIPE]:
            shutil.rmtree(out)


def completed(
    out: str | Path,
    *,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int | None,
) -> bool:
    """Whether `out` holds the whole result of this stage with these settings, inputs and seed."""
    out = Path(out)
    if not (out / MANIFEST).is_file():
        return False
    manifest = read_manifest(out)
    wanted = {"stage": stage, "settings": _plain(settings), "inputs": dict(inputs), "seed": seed}
    return all(manifest.get(key) == value for key, value in wanted.items()) and _outputs_there(out, manifest)


def read_manifest(out: str | Path) -> dict[str, Any]:
    """The manifest of a stage directory; CheckpointError where there is none."""
    path = Path(out) / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{out} has no {MANIFEST}: no finished stage wrote it; name another directory")
    return read_json(path)


def _manifest(
    root: Path,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int | None,
    started: float,
) -> dict[str, Any]:
    # Of a run only the files at its root: the stages below have manifests of their own.
    files = root.iterdir() if stage == "run" else root.rglob("*")
    outputs = {
        path.relative_to(root).as_posix(): {"sha256": digest_file(path), "bytes": path.stat().st_size}
        for path in sorted(files)
        if path.is_file() and path.name != MANIFEST
    }
    return {
        "stage": stage,
        "settings": _plain(settings),
        "inputs": dict(inputs),
        "outputs": outputs,
        "versions": versions(),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 3),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back: tuples as lists, paths as text."""
    plain: dict[str, Any] = json.loads(to_json(dict(settings), default=str))
    return plain


def _outputs_there(out: Path, manifest: Mapping[str, Any]) -> bool:
    return all(
        (out / name).is_file() and (out / name).stat().st_size == facts["bytes"]
        for name, facts in manifest["outputs"].items()
    )


def _check_replaceable(out: Path, stage: str) -> None:
    if not out.is_dir() or not (out / MANIFEST).is_file():
        return _require_empty(out)
    manifest = read_manifest(out)
    if manifest.get("stage") != stage:
        raise OutputError(f"{out} holds a result of {manifest.get('stage')}: name an empty or new directory")
    known = {*manifest["outputs"], MANIFEST}
    files = (path for path in out.rglob("*") if path.is_file())
    foreign = sorted(path for path in files if path.relative_to(out).as_posix() not in known)
    if foreign:
        raise OutputError(f"{out} holds other files ({_named(foreign)}): name an empty or new directory")
    return None


def _require_empty(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: name an empty or new directory")
    held = sorted(out.iterdir()) if out.exists() else []
    if held:
        raise OutputError(f"{out} holds other files ({_named(held)}): name an empty or new directory")


def _is_run(out: Path) -> bool:
    return out.is_dir() and (out / RECIPE).is_file()


def _named(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:2]) + (", ..." if len(paths) > 2 else "")


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be made ({error.strerror}); name another directory") from None


def _partial_directory(out: Path) -> Path:
    """`.<name>.partial-<pid>` beside `out`; those of processes that are gone are cleared away."""
    _make_directory(out.parent)
    for left in out.parent.glob(f".{out.name}.partial-*"):
        if not _alive(left.name.rpartition("-")[2]):
            log.info("removing %s, left by a run that was killed", left)
            shutil.rmtree(left, ignore_errors=True)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    _make_directory(partial)
    return partial


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _put_in_place(partial: Path, out: Path) -> None:
    """Rename `partial` to `out`; what was there is set aside first and comes back if that fails."""
    aside = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    replaced = out.exists()
    try:
        if replaced:
            out.rename(aside)
        partial.rename(out)
    except BaseException as error:
        if replaced and aside.exists():
            aside.rename(out)
        if isinstance(error, OSError) and not replaced and (out / MANIFEST).is_file():
            shutil.rmtree(partial, ignore_errors=True)  # another process has just put the same stage there
            return
        if isinstance(error, OSError):  # a mount point, or a place where we may write but not rename
            raise OutputError(f"{out} cannot be replaced ({error.strerror}); name a new directory") from None
        raise
    shutil.rmtree(aside, ignore_errors=True)
