"""What a stage computes first and needs until it is complete, in directories of their own beside it.

A stage that fails or is killed later starts from them when it is run again. They are called by their kind and
a part of their fingerprint: `teacher-0123456789abcdef`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailored_llama.checkpoint import remove
from tailored_llama.errors import CheckpointError
from tailored_llama.stage.manifest import foreign_files, read_manifest

TEACHER, TRAINED = "teacher", "trained"
KINDS = (TEACHER, TRAINED)
DIGITS = 16
NAME = re.compile(rf"({'|'.join(KINDS)})-[0-9a-f]{{{DIGITS}}}")
log = logging.getLogger(__name__)


@dataclass
class Working:
    """The working directories that one stage used, and the workflow that they belong to."""

    owner: str | None = None
    used: list[Path] = field(default_factory=list)

    def trained(self) -> None:
        """Remove what only the training needed; of a workflow, other stages may need it too."""
        if self.owner is None:
            self.clear([TEACHER])

    def clear(self, kinds: Sequence[str] = KINDS) -> None:
        """Remove those of these `kinds` that have no other owner."""
        for path in self.used:
            if path.name.startswith(tuple(kinds)):
                _remove(path, (self.owner,))


def is_working(path: Path) -> bool:
    """Whether `path` is named like a working directory."""
    return NAME.fullmatch(path.name) is not None


def clear_working(directory: Path) -> None:
    """Remove the working directories in `directory`, that of a run or of a sweep's stages.

    What a command by itself trained there, and has not merged yet, stays.
    """
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        found = NAME.fullmatch(path.name)
        if found:
            _remove(path, None if found[1] == TEACHER else ("run", "matrix"))


def _remove(path: Path, owners: Sequence[str | None] | None) -> None:
    """Remove a working directory of one of `owners`, of any without them, that holds nothing else."""
    try:
        manifest = read_manifest(path)
    except CheckpointError:
        return
    ours = manifest.stage in KINDS and (owners is None or manifest.owner in owners)
    if ours and not foreign_files(path, manifest):
        log.debug("removing %s: no stage needs it any more", path)
        remove(path)
