"""Progress bars on stderr, and warnings that are logged once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
_quiet = ContextVar("quiet", default=False)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` with a progress bar on stderr; silent if stderr is not a terminal or
    TAILOR_QUIET is set.
    """
    if _quiet.get() or os.environ.get("TAILOR_QUIET") or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if total is None and isinstance(items, Sequence):
        total = len(items)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=description)


@contextmanager
def quietly() -> Iterator[None]:
    """Inside the block, no progress bars, and no log messages of this package below warnings."""
    log = logging.getLogger("tailored_llama")
    token, level = _quiet.set(True), log.level
    log.setLevel(max(logging.WARNING, log.getEffectiveLevel()))
    try:
        yield
    finally:
        _quiet.reset(token)
        log.setLevel(level)


@lru_cache(maxsize=1024)
def note_once(log: logging.Logger, message: str) -> None:
    """Log `message` as a warning, the first time only: a run opens the same model at every stage."""
    log.warning("%s", message)
