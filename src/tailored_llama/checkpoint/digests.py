"""Digests of files. Each file is read once: digests are cached in this process and, for large files, on disk.

The cache is a directory of small JSON files in the user's cache directory. An entry is valid for one path
with one size, modification time, change time and inode; a replaced, edited or copied file is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from tailored_llama.checkpoint.partial import partial_path, remove
from tailored_llama.strict_json import to_json

LARGE = 2**20
"""Bytes. Reading a smaller file is faster than a cache lookup."""
MOST = 4096
"""Maximum number of cache entries; the oldest are removed first."""
EDITION = 1

_in_full: ContextVar[bool] = ContextVar("in_full", default=False)
_known: dict[str, tuple[list[int], str, bool]] = {}
"""{path: (`_facts`, digest, whether it was computed in this process)}"""
_values: dict[str, str] = {}


@contextlib.contextmanager
def in_full(enabled: bool = True) -> Iterator[None]:
    """Ignore the cache on disk inside the block: every file is read once (`--verify`)."""
    token = _in_full.set(enabled)
    try:
        yield
    finally:
        _in_full.reset(token)


def digest_file(path: str | Path) -> str:
    """sha256 of a file's bytes, in hex."""
    place = Path(path).resolve()
    stat_key = _facts(place)
    cached = _known.get(str(place))
    if cached is not None and cached[0] == stat_key and (cached[2] or not _in_full.get()):
        return cached[1]
    large = stat_key[0] >= LARGE
    entry = _load(str(place)) if large and not _in_full.get() else None
    if entry is not None and entry.get("facts") == stat_key:
        digest, computed = str(entry["sha256"]), False
    else:
        digest, computed = hash_file(place), True
        if large and _facts(place) == stat_key:
            _store(str(place), {"facts": stat_key, "sha256": digest})
    _known[str(place)] = (stat_key, digest, computed)
    return digest


def hash_file(path: Path) -> str:
    """sha256 of the bytes of `path`, without the cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def moved(digests: Mapping[str, str], root: Path) -> None:
    """Cache the digests, by path relative to `root`, of files that were moved there after they were
    hashed.
    """
    for name, digest in digests.items():
        place = (root / name).resolve()
        stat_key = _facts(place)
        _known[str(place)] = (stat_key, digest, True)
        if stat_key[0] >= LARGE:
            _store(str(place), {"facts": stat_key, "sha256": digest})


def cached_values(key: str, compute: Callable[[], str]) -> str:
    """The digest that `compute` returns, cached under `key`, a digest of the files that it depends on."""
    if key not in _values:
        entry = None if _in_full.get() else _load(f"values {key}")
        if entry is None or "sha256" not in entry:
            entry = {"sha256": compute()}
            _store(f"values {key}", entry)
        _values[key] = str(entry["sha256"])
    return _values[key]


def _facts(path: Path) -> list[int]:
    """File attributes that change when the contents change."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def cache_directory() -> Path:
    """The cache directory: TAILORED_LLAMA_CACHE, else the user's cache directory."""
    named = os.environ.get("TAILORED_LLAMA_CACHE")
    return Path(named) if named else user_cache_path("tailored_llama")


def _entry(key: str) -> Path:
    name = hashlib.sha256(f"{EDITION} {key}".encode()).hexdigest()[:32]
    return cache_directory() / "digests" / f"{name}.json"


def _load(key: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(_entry(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return entry if isinstance(entry, dict) else None


def _store(key: str, entry: Mapping[str, Any]) -> None:
    """Write an entry; errors are ignored, since the cache only saves time."""
    path = _entry(key)
    partial = partial_path(path)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = list(path.parent.iterdir())
        if len(entries) >= MOST:
            for old in sorted(entries, key=os.path.getmtime)[: MOST // 2]:
                remove(old)
        partial.write_text(to_json(entry), encoding="utf-8")
        partial.replace(path)
    remove(partial)
