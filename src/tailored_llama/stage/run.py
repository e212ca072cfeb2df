"""The directory of a run, which is filled stage by stage and can be resumed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

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
from tailored_llama.strict_json import Json, to_json

RECIPE = "recipe.json"
RUN = "run"
LOCK = ".lock"
KEYS = {"model", "tasks", "prune", "tune", "evaluate"}
"""Keys of every recipe.json that a run wrote."""
log = logging.getLogger(__name__)


@contextmanager
def run_directory(
    out: str | Path,
    *,
    recipe: Mapping[str, Json],
    settings: Mapping[str, Json] | None = None,
    inputs: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[Path | None]:
    """The locked directory of a run. Stages are added one by one, so a run can be resumed.

    `recipe.json`, written first, marks the directory as a run; the manifest, written last, marks it as
    complete. `settings` (the recipe without paths) and `inputs` (digests of the run's inputs) give its
    fingerprint, which `is_complete_run` compares. A new run that fails before its first stage is finished
    leaves nothing behind. If another process works in the directory, wait for it; without `wait`, yield None.
    Raises OutputError if `out` contains anything other than a run.
    """
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: name an empty or new directory")
    try:
        with locked(out / LOCK, out, wait=wait) as acquired:
            if acquired:
                yield from _in_run(out, recipe, settings or {}, inputs or {})
            else:
                yield None
    finally:
        with suppress(OSError):
            out.rmdir()  # succeeds only if it is empty


def _in_run(
    out: Path, recipe: Mapping[str, Json], settings: Mapping[str, Json], inputs: Mapping[str, str]
) -> Iterator[Path]:
    _check_is_run(out)
    started = time.monotonic()
    clear_leftovers(out)
    clear_locks(out)
    (out / MANIFEST).unlink(missing_ok=True)
    plain = json.loads(to_json(dict(recipe)))
    write_json(out / RECIPE, plain)
    try:
        yield out
        plain, seed = json.loads(to_json(dict(settings))), recipe.get("seed")
        assert seed is None or isinstance(seed, int)
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
    out: str | Path, *, settings: Mapping[str, Json], inputs: Mapping[str, str], seed: int | None
) -> bool:
    """Whether `out` contains a finished run with these settings and inputs, and all its files are
    unchanged.
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
    if any(recorded.fingerprint != manifest.stages[path.name] for path, recorded in stages.items()):
        return False
    for path, recorded in {out: manifest, **stages}.items():
        problem = difference(path, recorded)
        if problem is not None:
            log.warning("%s: %s; computing it again", path, problem)
            return False
    return True


def is_run(out: Path) -> bool:
    """Whether `out` is a run, as shown by its recipe, its manifest, or a stage that a run wrote there."""
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


def _check_is_run(out: Path) -> None:
    entries = sorted(path for path in out.iterdir() if not (is_lock(path) or is_leftover(path)))
    if not entries or is_run(out):
        return
    if [path.name for path in entries] == [RECIPE]:
        raise OutputError(f"{out / RECIPE} is not the recipe of a run; name an empty or new directory")
    raise OutputError(f"{out} contains other files ({named(entries)}): name an empty or new directory")
