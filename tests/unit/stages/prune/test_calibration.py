"""Calibration windows: where from, how many, the same for the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tailored_llama.data import text_windows as calibration
from tailored_llama.data.rows import Rows
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.errors import DataError
from tailored_llama.recipe import Calibration

VOCABULARY = 200


class Numbers:
    """A tokenizer for texts of numbers: each word is its own id."""

    bos_token = eos_token = None

    def encode(self, text: str, add_special_tokens: bool = True, verbose: bool = True) -> list[int]:
        return [int(word) for word in text.split() if word.isdecimal()]


def draw(source: str | Path, samples: int = 3, length: int = 4, seed: int = 0, **more: Any) -> Tensor:
    settings = Calibration(source=str(source), samples=samples, length=length)
    tokenizer = more.pop("tokenizer", Numbers)
    return calibration_tokens(settings, tokenizer, vocabulary=VOCABULARY, seed=seed, **more)


def numbers(start: int, end: int) -> str:
    return " ".join(map(str, range(start, end)))


def is_run(row: Tensor) -> bool:
    return bool((row.diff() == 1).all())


def test_a_text_is_one_stream_cut_without_overlap(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(numbers(0, 100))
    windows = draw(path, samples=8, length=10)
    assert windows.shape == (8, 10)
    assert windows.dtype == torch.int64
    assert all(is_run(row) for row in windows)
    assert len(windows.unique()) == 80
    assert torch.equal(windows, draw(path, samples=8, length=10))
    assert not torch.equal(windows, draw(path, samples=8, length=10, seed=1))
    # Exactly enough is enough.
    assert torch.equal(draw(path, samples=10, length=10).flatten(), torch.arange(100))
    with pytest.raises(
        DataError, match=r"text\.txt: too short for 11 windows of 10 tokens: it has 100 tokens"
    ):
        draw(path, samples=11, length=10)


def test_jsonl_gives_one_window_from_each_row_that_is_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [numbers(10 * i, 10 * i + (3 if i % 2 else 10)) for i in range(10)]
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows))
    windows = draw(path, samples=5, length=6)
    assert all(is_run(row) for row in windows)
    assert sorted((windows[:, 0] // 10).tolist()) == [0, 2, 4, 6, 8]
    assert len((windows[:, 0] % 10).unique()) > 1  # the offset is drawn as well
    assert torch.equal(windows, draw(path, samples=5, length=6))
    assert not torch.equal(windows, draw(path, samples=5, length=6, seed=1))
    with pytest.raises(DataError, match="6 windows of 6 tokens: 5 of its 10 rows are that long"):
        draw(path, samples=6, length=6)


def test_c4_can_be_a_local_file(tmp_path: Path) -> None:
    path = tmp_path / "c4.jsonl"
    path.write_text(json.dumps({"text": numbers(0, 9)}))
    assert is_run(draw("c4", samples=1, data={"c4": str(path)})[0])


def test_c4_is_streamed_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    class Stream(list[Any]):
        def shuffle(self, seed: int, buffer_size: int) -> Any:
            return self[seed:]

    def load(name: str, config: str, *, split: str, streaming: bool) -> Stream:
        assert (name, config, split, streaming) == ("allenai/c4", "en", "train", True)
        return Stream({"text": numbers(10 * i, 10 * i + 9)} for i in range(9))

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert (draw("c4", seed=2)[:, 0] // 10).tolist() == [2, 3, 4]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"c4: cannot be read from the hub \(no route\).*data: \{c4: FILE"):
        draw("c4")


def test_token_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "ids.safetensors"
    ids = torch.arange(40, dtype=torch.int32).view(4, 10)
    save_file({"input_ids": ids}, path)

    def no_tokenizer() -> Any:
        raise AssertionError

    found = draw(path, samples=4, length=10, tokenizer=no_tokenizer)
    assert found.dtype == torch.int64
    assert torch.equal(found, ids.long())
    with pytest.raises(DataError, match=r"5 windows of 10 tokens: input_ids are \[4, 10\]"):
        draw(path, samples=5, length=10)
    with pytest.raises(DataError, match=r"4 windows of 11 tokens: input_ids are \[4, 10\]"):
        draw(path, samples=4, length=11)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"ids": torch.zeros(4, 10).long()}, "no input_ids, only ids"),
        ({"input_ids": torch.zeros(4, 10)}, "must be integers"),
        ({"input_ids": torch.zeros(40).long()}, "must be integers"),
        (
            {"input_ids": torch.full((4, 10), VOCABULARY)},
            "from 200 to 200, but the model's vocabulary is 200",
        ),
        ({"input_ids": torch.full((4, 10), -1)}, "from -1 to -1"),
    ],
)
def test_what_are_no_token_ids(tmp_path: Path, tensors: dict[str, Tensor], says: str) -> None:
    save_file(tensors, tmp_path / "ids.safetensors")
    with pytest.raises(DataError, match=says):
        draw(tmp_path / "ids.safetensors")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("rows.jsonl", '{"text": "1 2"}\nnonsense', "row 2: not a JSON object with a"),
        ("rows.jsonl", '{"body": "1 2"}', "row 1: not a JSON object with a"),
        ("ids.safetensors", "nonsense", "cannot be read"),
        ("text.md", "1 2 3", "name one of c4, world, task"),
    ],
)
def test_what_is_no_calibration_file(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        draw(tmp_path / name)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.txt does not exist"):
        draw(tmp_path / "missing.txt")


def test_tasks_in_turn_end_to_end_from_the_train_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def task(name: str, rows: int, first: int) -> SimpleNamespace:
        def render(prompt: str, row: int, index: int, where: str) -> SimpleNamespace:
            assert (row, where) == (first + index, name)
            return SimpleNamespace(context=str(row), answer=f" {row} {prompt}")

        def read(split: str, data: str | None) -> Rows:
            assert (split, data) == ("train", {"a": None, "b": "there"}[name])
            return Rows(range(first, first + rows), name)  # type: ignore[arg-type]

        return SimpleNamespace(
            name=name, prompts={"7": None, "8": None}, rows=read, render=render, max_length=64
        )

    known = {"a": task("a", 2, 10), "b": task("b", 9, 100)}
    monkeypatch.setattr("tailored_llama.data.load_task", lambda name: known[name])
    windows = draw("task", samples=5, length=6, tasks=["a", "b"], data={"b": "there"})
    triples = windows.view(-1, 3)
    assert torch.equal(triples[:, 0], triples[:, 1])
    assert set(triples[:, 2].tolist()) == {7, 8}
    assert (triples[:, 0] < 100).tolist() == [True, False, True, False] + [False] * 6
    assert not torch.equal(windows, draw("task", 5, 6, seed=1, tasks=["a", "b"], data={"b": "there"}))
    with pytest.raises(DataError, match="rows of a, b give 33 tokens"):
        draw("task", samples=6, length=6, tasks=["a", "b"], data={"b": "there"})
    with pytest.raises(DataError, match="the recipe has no tasks"):
        draw("task")


def test_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailored_llama.world.text", lambda split: numbers(0, 50) if split == "train" else "")
    assert all(is_run(row) for row in draw("world"))
    assert calibration.C4 == ("allenai/c4", "en")
