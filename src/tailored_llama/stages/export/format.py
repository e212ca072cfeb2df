"""What an export format is. Each is a file of the folder formats/, or of a plugin folder (see `plugins`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights
from tailored_llama.plugins import FORMATS, load


class Write(Protocol):
    """Writes `weights` to `out`: an empty directory, or, of a format with a `suffix`, a file.

    `source` is the checkpoint directory that the model comes from, with its tokenizer; None for a model in
    memory. `dtype` is what the user names. Raises TailorErrors for what the format cannot say.
    """

    def __call__(self, weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None: ...


@dataclass(frozen=True)
class Format:
    """A release artefact. The model card is written by the stage; `loading` is its section on how to load the
    artefact, as Markdown below a heading.
    """

    write: Write
    loading: Callable[[PreTrainedConfig], str]
    suffix: str | None = None
    """Of a format that is one file: `.gguf`. It is called `model` in a directory with the card, or has the
    path that the user names with this ending."""
    dtypes: bool = False
    """Whether `dtype` changes what is written."""
    holds_tokenizer: bool = False
    """Whether the tokenizer is a part of it, so that a model in memory cannot be written."""


def format_named(name: str) -> Format:
    """The format of a name that is known. Raises PluginError."""
    return load(FORMATS, name, Format)
