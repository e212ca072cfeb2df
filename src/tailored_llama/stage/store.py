"""Where a run puts its stages: into its own directory, or into a store that several runs share."""

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

DIGITS = 16
log = logging.getLogger(__name__)


class Store:
    """The stages of the run in `out`, by name.

    With `shared`, a stage is written there, under its name and fingerprint, and linked into the run: runs
    that need the same result share it, and it is computed once. `owner` is the workflow that the stages
    belong to. `check`, called before each stage, may stop the run.
    """

    def __init__(
        self,
        out: str | Path,
        shared: str | Path | None = None,
        *,
        owner: str = "run",
        check: Callable[[], None] | None = None,
    ) -> None:
        self.out = Path(out).resolve()
        self.shared = None if shared is None else Path(shared).resolve()
        self.owner = owner
        self._check = check
        self._requested: set[str] = set()

    def slot(self, name: str) -> Slot:
        """Where the stage that this run calls `name` goes: an `out` for the functions of the stages."""
        return Slot(self, name)

    def complete(self, name: str, stage: Stage) -> Path:
        """The directory with the result of `stage`, which this run calls `name`; see `complete_at`."""
        if self._check is not None:
            self._check()
        self._requested.add(name)
        if self.shared is None:
            place = self.out / name
            if place.is_symlink() and not is_complete(stage, place):
                place.unlink()  # into a store, whose stage other runs may need as it is
            return complete_at(stage, place, owner=self.owner, ours=True)
        place = complete_at(stage, shared_path(self.shared, name, stage), owner=self.owner, ours=True)
        self._link(name, place)
        return place

    def clear(self) -> None:
        """Remove stages that this workflow wrote into the run earlier, and that it does not request any more.

        What it did not write itself, and what holds files that it does not know, stays.
        """
        for path in sorted(self.out.iterdir()):
            if path.name in self._requested:
                continue
            if path.is_symlink() and self.shared is not None:
                path.unlink()
                continue
            try:
                manifest = read_manifest(path)
            except CheckpointError:
                continue
            if manifest.owner == self.owner and not foreign_files(path, manifest):
                log.info("removing %s: the recipe does not request it any more", path)
                remove(path)

    def _link(self, name: str, place: Path) -> None:
        make_directory(self.out)
        link, target = self.out / name, os.path.relpath(place, self.out)
        if not link.is_symlink() or os.readlink(link) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


@dataclass(frozen=True)
class Slot:
    """A place in a store, which has a path only once it is known what goes there."""

    store: Store
    name: str


Out: TypeAlias = str | Path | Slot
"""Where a stage is written: a directory, or a place in the store of a run."""


def complete(stage: Stage, out: Out) -> Path:
    """The directory with the result of `stage`, computed now unless it is there; see `complete_at`."""
    if isinstance(out, Slot):
        return out.store.complete(out.name, stage)
    return complete_at(stage, out)


def shared_path(store: Path, name: str, stage: Stage) -> Path:
    """The directory of `stage` in a store: its name and the beginning of its fingerprint."""
    return store / f"{name}-{stage.fingerprint[:DIGITS]}"
