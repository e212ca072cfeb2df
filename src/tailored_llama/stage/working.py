"""Working directories: intermediate results that a stage needs until it is complete, stored next to it.

A stage that failed or was killed resumes from them. They are named by their kind and a part of their
fingerprint: `teacher-0123456789abcdef`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tailored_llama.checkpoint import remove
from tailored_llama.errors import CheckpointError
from tailored_llama.stage.manifest import MANIFEST, foreign_files, read_manifest

TEACHER, TRAINED = "teacher", "trained"
KINDS = (TEACHER, TRAINED)
DIGITS = 16
NAME = re.compile(rf"({'|'.join(KINDS)})-[0-9a-f]{{{DIGITS}}}")
log = logging.getLogger(__name__)


@dataclass
class Working:
    """The working directories of one stage, and the workflow that they belong to."""

    owner: str | None = None
    used: list[Path] = field(default_factory=list)

    def names(self, place: Path) -> list[str]:
        """Names of the used directories in `place`, for the manifest of the stage. Those of the teacher are
        recorded by what was trained on it: a stage that resumes after the training does not use them.
        """
        used = {path.name for path in self.used if path.parent == place}
        return sorted(name for name in used if name.startswith(TRAINED)) or sorted(used)

    def recall(self, place: Path, names: Sequence[str]) -> None:
        """Take over the directories in `place` that a killed process has not removed, and those they used."""
        for path in (place / name for name in names if NAME.fullmatch(name)):
            if (path / MANIFEST).is_file():
                self.used.append(path)
                with suppress(CheckpointError):
                    self.recall(place, read_manifest(path).working)

    def trained(self) -> None:
        """Remove directories that only the training needed; in a workflow, other stages may need them too."""
        if self.owner is None:
            self.clear([TEACHER])

    def clear(self, kinds: Sequence[str] = KINDS) -> None:
        """Remove the directories of these `kinds` that have no other owner."""
        for path in self.used:
            if path.name.startswith(tuple(kinds)):
                _remove(path, (self.owner,))


def is_working(path: Path) -> bool:
    """Whether `path` has the name of a working directory."""
    return NAME.fullmatch(path.name) is not None


def clear_working(directory: Path) -> None:
    """Remove the working directories in `directory`, which is a run or the store of a sweep.

    Adapters that a single command trained and has not merged yet are kept.
    """
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match:
            _remove(path, None if match[1] == TEACHER else ("run", "matrix"))


def _remove(path: Path, owners: Sequence[str | None] | None) -> None:
    """Remove a working directory of one of `owners` (None: any) unless it contains other files."""
    try:
        manifest = read_manifest(path)
    except CheckpointError:
        return
    removable = manifest.stage in KINDS and (owners is None or manifest.owner in owners)
    if removable and not foreign_files(path, manifest):
        log.debug("removing %s: no longer needed", path)
        remove(path)
