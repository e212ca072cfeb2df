"""The files of a checkpoint directory that are read. All of them are in the model's digest, and no others.

    config.json, generation_config.json   the architecture; end-of-text tokens
    *.safetensors and their index         the weights (see `weight_files`)
    TOKENIZER_FILES                       the tokenizer; and chat templates, which are copied, never rendered
    shaped.py                             copied by this package, used only if it is not installed

Licences and README.md are copied or quoted in an export. An adapter is read from a separate directory, given
by `--adapter` (ADAPTER_FILES). Other files are not opened. Config keys that would make the underlying
libraries open or run other files raise an error (`refused.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tailored_llama.errors import CheckpointError

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
SHAPED_FILE = "shaped.py"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", TOKENIZER_CONFIG, "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
ORIGIN = "origin.json"
"""For weights from a GGUF file: the file and its quantisation. Copied, and quoted in an export."""
TEMPLATES = "additional_chat_templates"
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_BASE = "base.json"
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, ADAPTER_BASE)
OTHER_WEIGHTS = ("adapter_model", "consolidated")
"""Name prefixes of safetensors files that are not a model in transformers' layout."""


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files that may be part of a model in `directory`, sorted by name.

    Raises CheckpointError for a broken link.
    """
    files = sorted(directory.glob("*.safetensors"))
    return [path for path in files if not path.name.startswith(OTHER_WEIGHTS) and is_there(path)]


def numbered_shards(files: Sequence[Path]) -> list[list[Path]]:
    """The complete sets of numbered shards (`NAME-00001-of-00002.safetensors`) in `files`."""
    sets: dict[tuple[str, int], list[Path]] = {}
    for path in files:
        match = re.fullmatch(r"(.+)-(\d+)-of-(\d+)\.safetensors", path.name)
        if match:
            sets.setdefault((match[1], int(match[3])), []).append(path)
    return [shards for (_, count), shards in sets.items() if len(shards) == count]


def model_files(directory: Path) -> list[Path]:
    """The files of a checkpoint directory that determine the model: config, weights, tokenizer."""
    names = {CONFIG_FILE, GENERATION_FILE, SHAPED_FILE, INDEX, *TOKENIZER_FILES}
    files = [path for path in directory.iterdir() if path.name in names and is_there(path)]
    templates = [path for path in directory.glob(f"{TEMPLATES}/*.jinja") if is_there(path)]
    return sorted([*files, *weight_files(directory), *templates])


def adapter_files(directory: Path) -> list[Path]:
    """The files of an adapter directory that are read."""
    return sorted(path for name in ADAPTER_FILES if is_there(path := directory / name))


def is_there(path: Path) -> bool:
    """Whether `path` is a file. Raises CheckpointError for a broken link."""
    if path.is_symlink() and not path.exists():
        raise CheckpointError(
            f"{path}: is a link to a file that does not exist; download the checkpoint again"
        )
    return path.is_file()
