"""Storage of a run's stages: in its own directory, or in a store that several runs share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tailored_llama.checkpoint import make_directory, remove
from tailored_llama.errors import CheckpointError
from tailored_llama.stage.frame import Stage, complete_at, is_complete
from tailored_llama.stage.manifest import foreign_files, read_manifest
from tailored_llama.stage.working import DIGITS, TRAINED, Working, clear_working, is_working

log = logging.getLogger(__name__)


class Store:
    """The stages of the run in `out`, by name.

    With `shared`, a stage is written there, under its name and fingerprint, and linked into the run: runs
    that need the same result share it. `owner` is the workflow that the stages belong to. `check` is called
    before each stage and may stop the run. With `keep`, working directories are not removed.
    """

    def __init__(
        self,
        out: str | Path,
        shared: str | Path | None = None,
        *,
        owner: str = "run",
        check: Callable[[], None] | None = None,
        keep: bool = False,
    ) -> None:
        self.out = Path(out).resolve()
        self.shared = None if shared is None else Path(shared).resolve()
        self.owner = owner
        self._check = check
        self._keep = keep
        self._requested: set[str] = set()
        self._working: list[Working] = []

    def slot(self, name: str) -> Slot:
        """The place of the stage `name` in this run, to be passed as `out` to a stage function."""
        return Slot(self, name)

    def complete(self, name: str, stage: Stage) -> Path:
        """The directory with the result of `stage`, under `name` in this run; see `complete_at`."""
        if self._check is not None:
            self._check()
        self._requested.add(name)
        stage.working.owner = self.owner
        place = self._complete(name, stage)
        stage.working.clear([TRAINED])
        self._working.append(stage.working)
        return place

    def _complete(self, name: str, stage: Stage) -> Path:
        if self.shared is None:
            place = self.out / name
            if place.is_symlink() and not is_complete(stage, place):
                place.unlink()  # a link into a store; other runs may need its target
            return complete_at(stage, place, owner=self.owner, managed=True)
        place = complete_at(stage, shared_path(self.shared, name, stage), owner=self.owner, managed=True)
        self._link(name, place)
        return place

    def release(self, *, everything: bool = False) -> None:
        """Remove the working directories of the completed stages; with `everything`, also those of
        interrupted runs. Those of a shared store are kept, since other runs may need them.
        """
        if self._keep or self.shared is not None:
            return
        for working in self._working:
            working.clear()
        self._working.clear()
        if everything:
            clear_working(self.out)

    def clear(self) -> None:
        """Remove stages that an earlier call of this workflow wrote to the run and that are no longer
        requested.

        Directories that it did not write, or that contain unknown files, are kept.
        """
        for path in sorted(self.out.iterdir()):
            if path.name in self._requested or is_working(path):
                continue
            if path.is_symlink() and self.shared is not None:
                path.unlink()
                continue
            try:
                manifest = read_manifest(path)
            except CheckpointError:
                continue
            if manifest.owner == self.owner and not foreign_files(path, manifest):
                log.info("removing %s: the recipe no longer requests it", path)
                remove(path)

    def _link(self, name: str, place: Path) -> None:
        make_directory(self.out)
        link, target = self.out / name, os.path.relpath(place, self.out)
        if not link.is_symlink() or os.readlink(link) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


class NotComplete(Exception):  # noqa: N818 (an answer, no error)
    """A stage that a survey looked for is not there."""


class Survey(Store):
    """A store in which nothing is computed or written: a stage that is not complete raises NotComplete.

    `found` are the directories of those that are, by name.
    """

    def __init__(self, out: str | Path, shared: str | Path | None = None) -> None:
        super().__init__(out, shared)
        self.found: dict[str, Path] = {}

    def complete(self, name: str, stage: Stage) -> Path:
        """The directory of `stage` where it is complete."""
        place = self.out / name if self.shared is None else shared_path(self.shared, name, stage)
        if not is_complete(stage, place, log_level=logging.DEBUG):
            raise NotComplete(name)
        self.found[name] = place
        return place


@dataclass(frozen=True)
class Slot:
    """A place in a store; its path is determined when the stage is known."""

    store: Store
    name: str


Out: TypeAlias = str | Path | Slot
"""The output of a stage: a directory, or a place in the store of a run."""


def complete(stage: Stage, out: Out) -> Path:
    """The directory with the result of `stage`, computed unless it exists; see `complete_at`.

    Outside a store, the working directories of the stage are removed.
    """
    if isinstance(out, Slot):
        return out.store.complete(out.name, stage)
    place = complete_at(stage, out)
    stage.working.clear()
    return place


def complete_beside(stage: Stage, place: Path, working: Working) -> Path:
    """The directory in `place` of a working stage, recorded in `working`; see `complete_at`."""
    # The name contains the fingerprint, so an existing directory belongs to this program.
    directory = complete_at(stage, shared_path(place, stage.name, stage), owner=working.owner, managed=True)
    working.used.append(directory)
    return directory


def shared_path(store: Path, name: str, stage: Stage) -> Path:
    """The directory of `stage` in a store: its name and the first digits of its fingerprint."""
    return store / f"{name}-{stage.fingerprint[:DIGITS]}"
