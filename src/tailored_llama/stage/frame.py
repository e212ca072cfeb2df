"""The common frame of all stages: fingerprint, reuse, lock, atomic writing, manifest, cleanup."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import JsonValue

from tailored_llama.checkpoint import (
    clear_leftovers,
    is_leftover,
    make_directory,
    moved,
    partial_path,
    remove,
    writing,
)
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.stage.locks import lock_path, locked
from tailored_llama.stage.manifest import (
    MANIFEST,
    Manifest,
    difference,
    fingerprint,
    foreign_files,
    outputs_of,
    read_manifest,
    versions,
    write_manifest,
)
from tailored_llama.stage.working import Working
from tailored_llama.strict_json import Json, to_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A step of a workflow: its dependencies, and how it fills a directory.

    `settings` are JSON without paths: if a setting names a file or directory, the digest of its contents is
    in `inputs`, under its role (`model`, `data boolq`). `inputs` is called before and after the work.
    `produce` writes into an empty directory; working directories next to it are recorded in `working`. A
    stage that is not `reusable`, because one of its inputs has no digest, is computed every time.
    """

    name: str
    settings: Mapping[str, Json]
    inputs: Callable[[], Mapping[str, str]]
    produce: Callable[[Path], None]
    seed: int | None = None
    reusable: bool = True
    working: Working = field(default_factory=Working, compare=False)

    @cached_property
    def plain(self) -> dict[str, JsonValue]:
        """The settings after a round trip through JSON: tuples as lists."""
        plain: dict[str, JsonValue] = json.loads(to_json(dict(self.settings)))
        return plain

    @cached_property
    def read(self) -> dict[str, str]:
        """The digests of the inputs, computed on first access."""
        return dict(self.inputs())

    @property
    def fingerprint(self) -> str:
        """The digest of everything that the stage's result depends on."""
        return fingerprint(self.name, self.plain, self.read, self.seed)


def complete_at(stage: Stage, out: str | Path, *, owner: str | None = None, managed: bool = False) -> Path:
    """The directory `out` with the result of `stage`, which is computed unless it exists.

    A result is reused if stage, settings, inputs and seed are equal and every file is unchanged; otherwise it
    is computed again, and the log gives the reason. Only one process computes it; others wait. The directory
    is replaced atomically, with its manifest, or not changed. `owner` is recorded in the manifest. With
    `managed`, `out` is known to belong to this program, and is replaced even if its manifest is missing or
    damaged.

    Raises OutputError if `out` contains something else or cannot be written, CheckpointError if an input
    changes during the work, and the errors of the stage.
    """
    out = Path(out).resolve()
    stage.read  # noqa: B018 (computed before the work)
    if is_complete(stage, out, log_level=logging.DEBUG):
        _clear_after_kill(stage, out)
        return out
    with locked(lock_path(out), out):
        clear_leftovers(out.parent, out.name)
        # Another process may have finished it before this one acquired the lock.
        if is_complete(stage, out):
            _clear_after_kill(stage, out)
        else:
            check_replaceable(out, stage.name, managed=managed)
            _compute(stage, out, owner)
    return out


def is_complete(stage: Stage, out: Path, *, log_level: int = logging.WARNING) -> bool:
    """Whether `out` contains the result of `stage` with unchanged files; the log gives the reason if not."""
    if not stage.reusable or not (out / MANIFEST).is_file():
        return False
    try:
        manifest = read_manifest(out)
    except CheckpointError:
        return False
    if manifest.fingerprint != stage.fingerprint:
        return False
    problem = difference(out, manifest)
    if problem is not None:
        log.log(log_level, "%s: %s; computing it again", out, problem)
        return False
    log.info("%s is complete", out)
    return True


def _clear_after_kill(stage: Stage, out: Path) -> None:
    """Remove what a process left that was killed after it had completed `out`, but before it cleaned up."""
    stage.working.recall(out.parent, read_manifest(out).working)
    lock = lock_path(out)
    if lock.exists():
        with suppress(OutputError), locked(lock, out, wait=False) as held:  # a read-only place stays as it is
            if held:
                clear_leftovers(out.parent, out.name)


def _compute(stage: Stage, out: Path, owner: str | None) -> None:
    started = time.monotonic()
    partial = partial_path(out)
    make_directory(partial)
    try:
        with writing(out):
            stage.produce(partial)
            _check_unchanged(stage)
            manifest = Manifest(
                stage=stage.name, settings=stage.plain, inputs=stage.read, outputs=outputs_of(partial),
                versions=versions(), seed=stage.seed, seconds=round(time.monotonic() - started, 3),
                fingerprint=stage.fingerprint if stage.reusable else None, owner=owner,
                working=stage.working.names(out.parent),
            )  # fmt: skip
            write_manifest(partial, manifest)
            if put_in_place(partial, out):
                moved({name: output.sha256 for name, output in manifest.outputs.items()}, out)
    finally:
        remove(partial)


def _check_unchanged(stage: Stage) -> None:
    """CheckpointError if an input changed while the stage read it."""
    now = dict(stage.inputs())
    changed = sorted(name for name in stage.read.keys() | now if stage.read.get(name) != now.get(name))
    if changed:
        raise CheckpointError(
            f"{stage.name}: its input changed while it was read ({', '.join(changed)}); rerun when no "
            "other program writes to it"
        )


def check_replaceable(out: Path, stage: str, *, managed: bool = False) -> None:
    """OutputError if `out` contains something other than an earlier result of the same `stage`."""
    if not (out.exists() or out.is_symlink()):
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file: name an empty or new directory")
    entries = sorted(path for path in out.iterdir() if not is_leftover(path))
    try:
        manifest = read_manifest(out)
    except CheckpointError:
        damaged = f"{MANIFEST} is damaged" if (out / MANIFEST).is_file() else None
        if entries and not managed:
            raise OutputError(_refusal(out, damaged or f"contains other files ({named(entries)})")) from None
        if entries:
            log.warning("%s: %s; computing it again", out, damaged or f"{MANIFEST} is missing")
        return
    if manifest.stage != stage:
        raise OutputError(_refusal(out, f"contains a result of {manifest.stage}"))
    foreign = foreign_files(out, manifest)
    if foreign:
        raise OutputError(_refusal(out, f"contains other files ({named(foreign)})"))


def _refusal(out: Path, problem: str) -> str:
    return f"{out} {problem}: name an empty or new directory"


def named(paths: list[Path]) -> str:
    """`a, b, ...`: the names of the first two paths."""
    return ", ".join(path.name for path in paths[:2]) + (", ..." if len(paths) > 2 else "")


def put_in_place(partial: Path, out: Path) -> bool:
    """Rename `partial` to `out`. An existing directory is moved aside first, and restored if the rename
    fails.

    Returns False if another process that ignored the lock has just written the same stage there. Raises
    OutputError if the directory cannot be renamed: a mount point, or missing permissions.
    """
    aside = partial_path(out, "replaced")
    replaced = out.exists()
    try:
        if replaced:
            out.rename(aside)
        partial.rename(out)
    except BaseException as error:
        if replaced and aside.exists():
            aside.rename(out)
        if isinstance(error, OSError) and not replaced and (out / MANIFEST).is_file():
            return False
        if isinstance(error, OSError):
            raise OutputError(f"{out} cannot be replaced ({error.strerror}); name a new directory") from None
        raise
    remove(aside)
    return True
