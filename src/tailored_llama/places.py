"""Where a run puts its stages: into its own directory, or into a store that several runs share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tailored_llama.strict_json import to_json


class Places:
    """The directory of each stage of the run in `out`.

    With a `store`, a stage is written there, under its name and a digest of all it depends on, and linked
    into the run: runs that ask the same of the same share it, and it is computed once.
    """

    def __init__(self, out: Path, store: Path | None = None) -> None:
        self.out = out
        self.store = store

    def of(self, name: str, **depends: Any) -> Path:
        """The directory of the stage `name`. `depends` is everything that decides its contents: settings,
        directories of other stages, names.
        """
        if self.store is None:
            return self.out / name
        text = to_json(depends, default=self._plain, sort_keys=True)
        place = self.store / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        link = self.out / name
        target = os.path.relpath(place, self.out)
        if not link.is_symlink() or os.readlink(link) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return place

    def _plain(self, value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json")
        # A directory of the store says by its name what is in it, wherever the store is.
        if isinstance(value, Path) and value.parent == self.store:
            return value.name
        return str(value)
