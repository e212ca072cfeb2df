"""The directory of a whole run, which grows stage by stage and can be resumed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tailored_llama.checkpoint import (
    clear_leftovers,
    is_leftover,
    read_json,
    remove,
    write_json,
)
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.stage.frame import named
from tailored_llama.stage.locks import clear_locks, is_lock, locked
from tailored_llama.stage.manifest import (
    MANIFEST,
    Manifest,
    difference,
    fingerprint,
    outputs_of,
    read_manifest,
    stages_of,
    versions,
    write_manifest,
)
from tailored_llama.strict_json import to_json

RECIPE = "recipe.json"
RUN = "run"
LOCK = ".lock"
KEYS = {"model", "tasks", "prune", "tune", "evaluate"}
"""What every recipe has that a run wrote."""
log = logging.getLogger(__name__)


@contextmanager
def run_directory(
    out: str | Path,
    *,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[Path | None]:
    """The directory of a run, locked: stages put theirs into it one by one, so that a run can be resumed.

    `recipe.json`, written first, marks it as a run; the manifest, written last, as complete. `settings` (the
    recipe without paths) and `inputs` (digests of what the run reads) make its fingerprint, by which
    `is_complete` knows it again. A new run that fails before its first stage is done leaves nothing behind.
    Where another process works in the directory, waits for it; without `wait`, gives None. Raises OutputError
    where `out` holds anything else than a run.
    """
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: name an empty or new directory")
    try:
        with locked(out / LOCK, out, wait=wait) as held:
            if held:
                yield from _in_run(out, recipe, settings or {}, inputs or {})
            else:
                yield None
    finally:
        with suppress(OSError):
            out.rmdir()  # which succeeds where nothing is in it


def _in_run(
    out: Path, recipe: Mapping[str, Any], settings: Mapping[str, Any], inputs: Mapping[str, str]
) -> Iterator[Path]:
    _check_ours(out)
    started = time.monotonic()
    clear_leftovers(out)
    clear_locks(out)
    (out / MANIFEST).unlink(missing_ok=True)
    plain = json.loads(to_json(dict(recipe)))
    write_json(out / RECIPE, plain)
    try:
        yield out
        plain, seed = json.loads(to_json(dict(settings))), recipe.get("seed")
        manifest = Manifest(
            stage=RUN, settings=plain, inputs=dict(inputs), outputs=outputs_of(out, deep=False),
            versions=versions(), seed=seed, seconds=round(time.monotonic() - started, 3),
            fingerprint=fingerprint(RUN, plain, inputs, seed), stages=stages_of(out),
        )  # fmt: skip
        write_manifest(out, manifest)
    finally:
        if all(path.name == RECIPE or is_lock(path) for path in out.iterdir()):
            remove(out / RECIPE)


def is_complete_run(
    out: str | Path, *, settings: Mapping[str, Any], inputs: Mapping[str, str], seed: int | None
) -> bool:
    """Whether `out` holds a finished run with these settings and inputs, every file of it and of its stages
    as it was written.
    """
    out = Path(out)
    plain = json.loads(to_json(dict(settings)))
    try:
        manifest = read_manifest(out)
        if manifest.fingerprint != fingerprint(RUN, plain, inputs, seed):
            return False
        stages = {out / name: read_manifest(out / name) for name in manifest.stages}
    except CheckpointError:
        return False
    if any(known.fingerprint != manifest.stages[path.name] for path, known in stages.items()):
        return False
    for path, known in {out: manifest, **stages}.items():
        problem = difference(path, known)
        if problem is not None:
            log.warning("%s: %s; computing it again", path, problem)
            return False
    return True


def is_run(out: Path) -> bool:
    """Whether `out` is recognisably a run: by its recipe, its manifest, or a stage that a run wrote there."""
    try:
        if read_json(out / RECIPE).keys() >= KEYS:
            return True
    except CheckpointError:
        pass
    for path in (out, *(path for path in sorted(out.iterdir()) if path.is_dir())):
        try:
            manifest = read_manifest(path)
        except CheckpointError:
            continue
        if manifest.stage == RUN if path == out else manifest.owner is not None:
            return True
    return False


def _check_ours(out: Path) -> None:
    held = sorted(path for path in out.iterdir() if not (is_lock(path) or is_leftover(path)))
    if not held or is_run(out):
        return
    if [path.name for path in held] == [RECIPE]:
        raise OutputError(f"{out / RECIPE} is no recipe of a run; name an empty or new directory")
    raise OutputError(f"{out} holds other files ({named(held)}): name an empty or new directory")
