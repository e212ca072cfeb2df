"""JSON that is written whole or not at all, and digests of files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.progress import track
from tailored_llama.strict_json import to_json

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
GENERATION_FILE = "generation_config.json"
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in `path`; CheckpointError where there is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); name a file that is there"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); mend it or download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no JSON object; mend it or download it again")
    return content


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` to `path` in one step: a reader sees the old file or the new one.

    Raises OutputError, and leaves the file as it was, where `content` holds NaN or an infinity.
    """
    path = Path(path)
    try:
        text = to_json(content, indent=2, ensure_ascii=False)
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from None
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def digest_file(path: str | Path) -> str:
    """sha256 of a file's bytes, in hex."""
    found = Path(path).resolve()
    stat = found.stat()
    return _digest(found, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(path: Path, _size: int, _mtime: int) -> str:
    # A run asks for the same base at every stage: a file is read anew only where size or time changed.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_files(directory: Path) -> list[Path]:
    """The files of a checkpoint directory that decide what the model computes: config, weights, tokenizer."""
    names = {"config.json", GENERATION_FILE, "shaped.py", *TOKENIZER_FILES}
    weights = set(directory.glob("model*.safetensors*"))
    return sorted(path for path in directory.iterdir() if path.name in names or path in weights)


def digest_directory(directory: str | Path) -> str:
    """sha256 over names and contents of what counts in `directory`, in hex.

    Of a checkpoint these are its config, weights and tokenizer; of any other directory all files but the
    manifest. A README, a licence or a place on the disk does not change what a model is.
    """
    root = Path(directory)
    if (root / "config.json").is_file():
        files = model_files(root)
    else:
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "manifest.json")
    total = hashlib.sha256()
    for path in track(files, f"digest of {root.name}"):
        total.update(f"{path.relative_to(root).as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


def digests_of(places: Iterable[str | Path]) -> dict[str, str]:
    """sha256 of those of `places` that are on the disk, files and directories, by their names."""
    digests = {}
    for place in map(Path, places):
        if place.is_file():
            digests[str(place)] = digest_file(place)
        elif place.is_dir():
            digests[str(place)] = digest_directory(place)
    return digests
