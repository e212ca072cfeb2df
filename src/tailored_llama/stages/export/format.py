"""The interface of an export format. Each format is a file in formats/ or in a plugin folder (`plugins`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights
from tailored_llama.plugins import FORMATS, load


class Write(Protocol):
    """Writes `weights` to `out`: an empty directory, or a file if the format has a `suffix`.

    `source` is the checkpoint directory of the model, with its tokenizer; None for a model in memory. `dtype`
    is the user's choice. Raises a TailorError for anything that the format cannot represent.
    """

    def __call__(self, weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None: ...


@dataclass(frozen=True)
class Format:
    """An export format. The stage writes the model card; `loading` returns its section on how to load the
    artefact, as Markdown without a heading.
    """

    write: Write
    loading: Callable[[PreTrainedConfig], str]
    suffix: str | None = None
    """For a single-file format, e.g. `.gguf`: the file is `model.gguf` in a directory with the card, or the
    path given by the user if it has this suffix."""
    dtypes: bool = False
    """Whether `dtype` changes what is written."""
    holds_tokenizer: bool = False
    """Whether the artefact contains the tokenizer. Then a model in memory cannot be exported."""


def format_named(name: str) -> Format:
    """The format called `name`, which must exist. Raises PluginError."""
    return load(FORMATS, name, Format)
