"""`--data DIR`: rows and texts by the names of their directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama.cli.options import recipe_of
from tailored_llama.errors import DataError
from tailored_llama.recipe.local_data import places_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("boolq/train.jsonl", "piqa/validation.csv.gz", "wikitext2/test.txt", "c4/demo.jsonl"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text("x")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("x")
    return tmp_path


def test_tasks_are_directories_and_texts_are_files(folder: Path) -> None:
    assert places_in(folder) == {
        "boolq": str(folder / "boolq"),
        "piqa": str(folder / "piqa"),
        "wikitext2": str(folder / "wikitext2" / "test.txt"),
        "c4": str(folder / "c4" / "demo.jsonl"),
    }


def test_set_goes_on_top(folder: Path) -> None:
    found = recipe_of("smollm2-20", ["data.c4=other.jsonl"], {}, data=folder)
    assert found.data["c4"] == "other.jsonl"
    assert found.data["boolq"] == str(folder / "boolq")


def test_what_is_no_such_folder_is_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match="no such directory"):
        places_in(folder / "absent")
    with pytest.raises(DataError, match="name the directory above them"):
        places_in(folder / "boolq")
