"""What a checkpoint may say that would run code, open further files or change how it is computed.

The libraries below obey such keys by themselves. Here they are refused by name, or set aside; what is left to
read is listed in `contents.py`.
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
"""Keys by which transformers reads another file in place of the one that has the key."""

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
"""What config.json says of whose code is run and of how outputs are computed and returned, which is the
caller's to choose."""


def refuse_other_files(path: Path, content: Mapping[str, Any]) -> None:
    """CheckpointError where `content`, the JSON of `path`, sends its reader to another file."""
    key = OTHER_FILES[path.name]
    if key in content:
        raise CheckpointError(
            f"{path}: {key} names other files to read in its place, which is not supported; put their "
            "content here and remove the key"
        )


def refuse_tokenizer_code(directory: Path) -> None:
    """CheckpointError where tokenizer_config.json in `directory` needs code of its own, or other files."""
    path = directory / TOKENIZER_CONFIG
    content = read_json(path) if path.is_file() else {}
    refuse_other_files(path, content)
    classes = _named(content.get("auto_map"))
    # Tokenizers that were on the hub before they were in transformers name code that is the stock class's.
    foreign = [name for name in classes if tokenizer_class_from_name(name.rpartition(".")[2]) is None]
    if foreign:
        raise CheckpointError(
            f"{path}: auto_map asks to run code that came with the checkpoint ({foreign[0]}), which is never "
            "run; save the tokenizer in the standard form (tokenizer.json) and remove auto_map"
        )


def refuse_link(path: Path) -> None:
    """CheckpointError where `path`, which is to be copied as it is, is a link to a file of another name, and
    so perhaps to one that is no part of a model. The hub's cache, whose links have hashes as targets, is one.
    """
    target = path.resolve()
    cached = target.parent.name == "blobs" and target.parent.parent in path.absolute().parents
    if path.is_symlink() and target.name != path.name and not cached:
        raise CheckpointError(f"{path}: is a link to {target.name}; put the file itself there")


def _named(value: Any) -> list[str]:
    """Every text in the values of an `auto_map`, however it is nested."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [name for entry in value for name in _named(entry)]
    return [value] if isinstance(value, str) else []


def note_adapter(directory: Path) -> None:
    """Warn once of an adapter beside the weights, which transformers would put on the model."""
    if (directory / ADAPTER_CONFIG).is_file():
        note_once(
            log,
            f"{directory}: the adapter beside the weights ({ADAPTER_CONFIG}) is not applied; to merge it, "
            "name the directory as --adapter too",
        )


def set_aside_runtime(config: PreTrainedConfig) -> None:
    """Reset what a config that was not made by this package says of RUNTIME_KEYS: another attention kernel,
    for example, which may be code from the hub.
    """
    config._attn_implementation = None
    config._experts_implementation = None
    config.return_dict = True
    config.output_hidden_states = False
    config.output_attentions = False


def adapter_message(directory: Path) -> str:
    """What to do with a directory that holds an adapter and no model."""
    base = read_json(directory / ADAPTER_CONFIG).get("base_model_name_or_path")
    of = f" of {base}" if isinstance(base, str) and base else ""
    return (
        f"{directory} is an adapter{of} (PEFT), not a model: name its base as MODEL and this directory as "
        "--adapter; where another program trained it, add --base-unchecked"
    )
