"""The inputs of a stage as digests of contents: models, tasks, rows, texts, tokenizers. Paths do
not count.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint.contents import CONFIG_FILE
from tailored_llama.data import Task
from tailored_llama.data.rows import row_files
from tailored_llama.plugins import FAMILIES, Kind
from tailored_llama.plugins import digest as plugin_digest
from tailored_llama.strict_json import to_json


def digest_of(content: Any) -> str:
    """sha256 of a JSON value, in hex."""
    return hashlib.sha256(to_json(content, sort_keys=True).encode()).hexdigest()


def model_inputs(role: str, model: Path | PreTrainedModel) -> Callable[[], dict[str, str]]:
    """A function that computes the digest of a checkpoint directory (config, weights, tokenizer) on each
    call; for a model in memory the digest of its weights, computed once. Includes the digest of a family that
    is a plugin.
    """
    if isinstance(model, PreTrainedModel):
        digests = {role: checkpoint.weights_digest(checkpoint.open_weights(model))}
        digests |= family_inputs(model.config.model_type)
        return lambda: digests
    return lambda: {role: checkpoint.digest_directory(model), **directory_family(model)}


def directory_family(directory: Path) -> dict[str, str]:
    """The digest of the family of the checkpoint in `directory`, if it is a plugin."""
    path = directory / CONFIG_FILE
    return family_inputs(str(checkpoint.read_json(path).get("model_type"))) if path.is_file() else {}


def family_inputs(model_type: str) -> dict[str, str]:
    """The digest of the family of a model type, plain or shaped, if it is a plugin."""
    return plugin_inputs(FAMILIES, [model_type.removeprefix("shaped_")])


def tokenizer_inputs(tokenizer: PreTrainedTokenizerBase | None) -> dict[str, str]:
    """The digest of a tokenizer that was passed as an object; empty without one."""
    if tokenizer is None:
        return {}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else to_json(tokenizer.get_vocab(), sort_keys=True)
    return {"tokenizer": digest_of([text, sorted(map(str, tokenizer.special_tokens_map.items()))])}


def task_inputs(task: Task, data: str | Path | None) -> dict[str, str]:
    """Digests of a task's definition and of its rows, if these are files: those in `data`, else the task's
    own.

    Rows from the hub or the bundled world are identified by the definition, which names them.
    """
    source = task.source
    if source is not None:
        paths = {key: None for key, value in source.model_dump().items() if _is_path(value)}
        source = source.model_copy(update=paths)
    definition = repr(dataclasses.replace(task, source=source))
    inputs = {f"task {task.name}": hashlib.sha256(definition.encode()).hexdigest()}
    place = data if data is not None else task.files
    if place is not None and (files := row_files(Path(place))):
        # Other files in a directory are not read; a stage may even be written there.
        named = [[_role(path, place), checkpoint.digest_file(path)] for path in files]
        inputs[f"data {task.name}"] = digest_of(named)
    return inputs


def _role(path: Path, place: str | Path) -> str:
    """The role of a file of rows: `train.csv`; for a file that was named directly, only its suffix."""
    return "".join(path.suffixes) if path == Path(place) else path.name


def plugin_inputs(kind: Kind, names: Iterable[str]) -> dict[str, str]:
    """The digests of those of `names` that are plugins: `criterion spread`. What this package has is known by
    its version.
    """
    digests = {f"{kind.noun} {name}": plugin_digest(kind, name) for name in names}
    return {role: digest for role, digest in digests.items() if digest is not None}


def text_name(source: str, data: Mapping[str, str | Path] | None = None) -> str:
    """A setting that names a text, without its path: its name, or for a file only the suffix."""
    path = _text_file(source, data)
    return f"file{path.suffix}" if path is not None else source


def text_inputs(role: str, source: str, data: Mapping[str, str | Path] | None = None) -> dict[str, str]:
    """The digest of a text that is a file, or for which `data` names one; empty for a named text."""
    path = _text_file(source, data)
    return {role: checkpoint.digest_file(path)} if path is not None else {}


def path_name(entry: str) -> str:
    """`entry` unchanged, or for a path only a marker with its suffix."""
    suffix = Path(entry).suffix
    return f"file{suffix}" if suffix else entry


def _text_file(source: str, data: Mapping[str, str | Path] | None) -> Path | None:
    named = (data or {}).get(source)
    path = Path(source if named is None else named)
    # A file in the working directory that has the name of a text (`world`) does not count.
    return path if path.is_file() and (named is not None or path.suffix) else None


def merged(parts: Iterable[Callable[[], Mapping[str, str]]]) -> Callable[[], dict[str, str]]:
    """Several inputs combined."""
    listed = list(parts)
    return lambda: {key: value for part in listed for key, value in part().items()}


def _is_path(value: object) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()
