"""Tokenizer files that would give other tokens each time, or that no copy can be made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import world
from tailored_llama.checkpoint import load_tokenizer
from tailored_llama.errors import CheckpointError

TEXT = "The owl in the old box eats honey by day and sleeps by night."


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the world's tokenizer with a `change` of tokenizer.json."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(world.model_path() / name, folder / name)
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content["model"])
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def test_dropout_of_tokens_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = changed(tmp_path, lambda model: model.update(dropout=0.5))
    tokenizer = load_tokenizer(folder)
    found = {tuple(tokenizer.encode(TEXT)) for _ in range(20)}
    assert found == {tuple(load_tokenizer("world").encode(TEXT))}
    assert "tokenizer.json has a dropout of 0.5, which is ignored" in caplog.text


def test_two_tokens_of_one_id_are_refused(tmp_path: Path) -> None:
    def twice(model: dict[str, Any]) -> None:
        token = next(token for token, number in model["vocab"].items() if number == 500)
        model["vocab"][token] = 501

    with pytest.raises(CheckpointError, match="tokenizer does not load"):
        load_tokenizer(changed(tmp_path, twice))
