"""Config keys that would run code, open further files or change how outputs are computed.

The underlying libraries follow such keys by themselves. Here they raise an error that names the key, or are
ignored. `contents.py` lists the files that are read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from tailored_llama.checkpoint.contents import ADAPTER_CONFIG, CONFIG_FILE, TOKENIZER_CONFIG
from tailored_llama.checkpoint.files import read_json
from tailored_llama.errors import CheckpointError
from tailored_llama.progress import note_once

log = logging.getLogger(__name__)

OTHER_FILES = {
    CONFIG_FILE: "configuration_files",
    TOKENIZER_CONFIG: "fast_tokenizer_files",
}
"""Keys that make transformers read another file instead of the one with the key."""

RUNTIME_KEYS = frozenset(
    {
        "auto_map",
        "attn_implementation",
        "experts_implementation",
        "return_dict",
        "output_hidden_states",
        "output_attentions",
        "num_labels",
    }
)
"""Keys of config.json that choose code, or how outputs are computed and returned; the caller decides these.
"""


def refuse_other_files(path: Path, content: Mapping[str, Any]) -> None:
    """CheckpointError if `content`, the JSON of `path`, names another file to read instead."""
    key = OTHER_FILES[path.name]
    if key in content:
        raise CheckpointError(
            f"{path}: {key} names other files to read instead, which is not supported; put their "
            "content here and remove the key"
        )


def refuse_tokenizer_code(directory: Path) -> None:
    """CheckpointError if tokenizer_config.json in `directory` needs remote code or other files."""
    path = directory / TOKENIZER_CONFIG
    content = read_json(path) if path.is_file() else {}
    refuse_other_files(path, content)
    classes = _named(content.get("auto_map"))
    # Tokenizers that were on the hub before they were in transformers name the stock class in auto_map.
    foreign = [name for name in classes if tokenizer_class_from_name(name.rpartition(".")[2]) is None]
    if foreign:
        raise CheckpointError(
            f"{path}: auto_map names code that came with the checkpoint ({foreign[0]}), which is never "
            "run; save the tokenizer in the standard form (tokenizer.json) and remove auto_map"
        )


def refuse_link(path: Path) -> None:
    """CheckpointError if `path`, which is to be copied, is a link to a file of another name, which may not be
    part of the model. Links of the hub's cache, whose targets are hashes, are allowed.
    """
    target = path.resolve()
    cached = target.parent.name == "blobs" and target.parent.parent in path.absolute().parents
    if path.is_symlink() and target.name != path.name and not cached:
        raise CheckpointError(f"{path}: is a link to {target.name}; put the file itself there")


def _named(value: Any) -> list[str]:
    """All strings nested in the values of an `auto_map`."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [name for entry in value for name in _named(entry)]
    return [value] if isinstance(value, str) else []


def note_adapter(directory: Path) -> None:
    """Warn once of an adapter next to the weights, which transformers would apply."""
    if (directory / ADAPTER_CONFIG).is_file():
        note_once(
            log,
            f"{directory}: the adapter next to the weights ({ADAPTER_CONFIG}) is not applied; to merge it, "
            "name the directory as --adapter too",
        )


def set_aside_runtime(config: PreTrainedConfig) -> None:
    """Reset the RUNTIME_KEYS of a config that another package wrote: for example an attention kernel, which
    may be code from the hub.
    """
    config._attn_implementation = None
    config._experts_implementation = None
    config.return_dict = True
    config.output_hidden_states = False
    config.output_attentions = False


def adapter_message(directory: Path) -> str:
    """The error message for a directory that contains an adapter but no model."""
    base = read_json(directory / ADAPTER_CONFIG).get("base_model_name_or_path")
    of = f" of {base}" if isinstance(base, str) and base else ""
    return (
        f"{directory} is an adapter{of} (PEFT), not a model: name its base as MODEL and this directory as "
        "--adapter; if another program trained it, add --base-unchecked"
    )
