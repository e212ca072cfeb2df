"""A trained adapter, stored on disk before it is merged into its model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import MemoryLimitError, OutputError, TailorError
from tailored_llama.memory import describe, out_of_memory
from tailored_llama.results import Record, TrainingStep
from tailored_llama.training.base_model import Base, write_history, write_model
from tailored_llama.training.lora import save_adapter


def write_trained(
    adapted: PeftModel, base: Base, history: Sequence[TrainingStep], folder: Path, record: Record
) -> None:
    """Write to `folder` the adapter of `adapted` with the digest of its `base`, the training history, and
    `record` in its file.
    """
    save_adapter(adapted, checkpoint.weights_digest(checkpoint.open_weights(base)), folder)
    write_history(history, folder)
    checkpoint.write_json(folder / record.file, record.to_json(), indent=1)


def write_merged(base: Base, trained: Path, folder: Path, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Write `base`, merged with the adapter in `trained`, to `folder`, with the base's tokenizer; one matrix
    is in memory at a time.
    """
    write_model(checkpoint.merge_weights(checkpoint.open_weights(base), trained), folder, base, tokenizer)


def link_files(source: Path, out: Path, names: Sequence[str]) -> None:
    """Link the files and directories `names` of `source` into `out`: hard links, or copies if the file system
    does not support them.
    """
    for name in names:
        files = [path for path in sorted((source / name).rglob("*")) if path.is_file()] or [source / name]
        for path in files:
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)


@contextmanager
def kept(trained: Path, out: Path) -> Iterator[None]:
    """Errors of the block, which merges the adapter in `trained` and writes to `out`, mention `trained`."""
    where = f"the trained adapter is kept in {trained}; rerun the command to merge it without training again"
    try:
        with checkpoint.writing(out):
            yield
    except TailorError as error:
        raise type(error)(f"{error}; {where}") from None
    except Exception as error:
        if out_of_memory(error):
            raise MemoryLimitError(f"merging: {describe(error)}; {where}") from None
        if isinstance(error, OSError):
            raise OutputError(f"{out} cannot be written ({error.strerror or error}); {where}") from None
        raise
