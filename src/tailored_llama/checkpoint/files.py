"""JSON files and digests of directories."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue

from tailored_llama.checkpoint.contents import CONFIG_FILE, model_files
from tailored_llama.checkpoint.digests import digest_file
from tailored_llama.errors import CheckpointError
from tailored_llama.progress import track
from tailored_llama.results import Record, parse

R = TypeVar("R", bound=Record)


def read_record(kind: type[R], path: str | Path) -> R:
    """The file `path` as `kind`; CheckpointError if it is not there, or naming the key that is wrong."""
    return parse(kind, path, read_json(path))


def read_records(kind: type[R], path: str | Path) -> list[R]:
    """The lines of `path`, JSON objects, as `kind`; CheckpointError naming the line that is wrong."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return [parse(kind, f"{path}: line {n}", json.loads(line)) for n, line in enumerate(lines, start=1)]
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it or run again") from None


def read_json(path: str | Path) -> dict[str, JsonValue]:
    """The JSON object in `path`; CheckpointError if it cannot be read."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); name an existing file") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); correct it or download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object; correct it or download it again")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys: readers differ in which of the two values they use."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {duplicate[:60]!r} is given twice")
    return content


def digest_directory(directory: str | Path) -> str:
    """sha256, in hex, over names and contents of the relevant files in `directory`.

    For a checkpoint these are its config, weights and tokenizer (`contents.model_files`); for any other
    directory all files except the manifest. A README, a licence or the location does not change the digest of
    a model.
    """
    root = Path(directory)
    if (root / CONFIG_FILE).is_file():
        files = model_files(root)
    else:
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "manifest.json")
    total = hashlib.sha256()
    for path in track(files, f"digest of {root.name}"):
        total.update(f"{path.relative_to(root).as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()
