"""Rows from the three local formats, and the draw of few shots."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailored_llama.data import load_task
from tailored_llama.data.shots import draw
from tailored_llama.errors import DataError
from tests.support.tasks import ROWS, write_split

BOOLQ, ARC = ROWS["boolq"], ROWS["arc_easy"]


def write_csv(directory: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    with (directory / f"{split}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
        writer.writerows(cells)
    return directory


def write_parquet(directory: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), directory / f"{split}.parquet")
    return directory


@pytest.mark.parametrize("write", [write_split, write_csv, write_parquet])
def test_three_formats_give_the_same_examples(tmp_path: Path, write: Any) -> None:
    task = load_task("arc_easy")
    rows = task.rows("scored", write(tmp_path, "test", [ARC, ARC | {"answerKey": "A"}]))
    assert [example.gold for example in task.examples("paper", rows)] == [2, 0]
    assert task.examples("paper", rows)[0].answers == (" a cat", " dogs", " the small owl")


def test_a_missing_split_names_the_directory_and_what_is_there(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [BOOLQ])
    with pytest.raises(DataError, match=rf"'validation'.*{tmp_path}; found: train.jsonl"):
        load_task("boolq").rows("scored", tmp_path)
    with pytest.raises(DataError, match="nowhere is not a directory"):
        load_task("boolq").rows("scored", "nowhere")


def test_wrong_rows_name_file_row_and_field(tmp_path: Path) -> None:
    wrong = {key: value for key, value in BOOLQ.items() if key != "passage"} | {"pasage": "x"}
    write_split(tmp_path, "train", [BOOLQ, wrong])
    with pytest.raises(DataError, match=r"train.jsonl, row 2: field 'passage' .*did you mean 'pasage'"):
        load_task("boolq").rows("train", tmp_path)


@pytest.mark.parametrize(
    ("text", "output"),
    [("{}\n{", "line 2: not valid JSON"), ("[1]", "line 1: not a JSON object"), ("\n", "no rows")],
)
def test_wrong_json(tmp_path: Path, text: str, output: str) -> None:
    (tmp_path / "train.jsonl").write_text(text)
    with pytest.raises(DataError, match=output):
        load_task("boolq").rows("train", tmp_path)


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_task("boolq").rows("train", tmp_path)


def test_no_hub_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        DataError, match=r"aps/super_glue/boolq .*ConnectionError: no route; .*data: \{boolq: DIR\}"
    ):
        load_task("boolq").rows("scored")


def test_the_worlds_rows_fit_their_tasks() -> None:
    for name in ROWS:
        task = load_task(f"world_{name}")
        for split in ("train", "scored"):
            rows = task.rows(split)
            assert all(task.examples(prompt, rows[:5]) for prompt in task.prompts)


def rows_with(labels: list[int]) -> list[dict[str, Any]]:
    return [BOOLQ | {"passage": f"Passage {i}.", "label": label} for i, label in enumerate(labels)]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.integers(0, 3), st.data())
def test_shots_are_balanced_distinct_and_seeded(labels: list[int], seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(labels)))
    rows = rows_with(labels)
    shots = draw(load_task("boolq"), rows, k, seed)
    assert shots == draw(load_task("boolq"), rows, k, seed)
    assert len(set(shots.indices)) == k
    assert shots.rows == [rows[i] for i in shots.indices]
    chosen = [labels[i] for i in shots.indices]
    for label in (0, 1):
        other = 1 - label
        # A label has fewer than the other only where all of its rows are drawn.
        assert chosen.count(label) >= chosen.count(other) - 1 or chosen.count(label) == labels.count(label)


def test_another_seed_draws_others() -> None:
    rows = rows_with([0, 1] * 50)
    assert draw(load_task("boolq"), rows, 10, 1).indices != draw(load_task("boolq"), rows, 10, 2).indices


def test_too_many_shots(tmp_path: Path) -> None:
    directory = write_split(tmp_path, "train", rows_with([0, 1] * 15))
    with pytest.raises(DataError, match=r"50 shots requested, but .*train.jsonl has 30 .*\(--shots 30\)"):
        draw(load_task("boolq"), load_task("boolq").rows("train", directory), 50, 42)


def test_rows_that_reappear_in_the_scored_split_are_never_drawn() -> None:
    rows = rows_with([0, 1] * 5)
    disguised = rows[3] | {"passage": "  PASSAGE   3"}
    shots = draw(load_task("boolq"), rows, 9, 42, scored=[disguised])
    assert shots.dropped == 1
    assert sorted(shots.indices) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    with pytest.raises(DataError, match=r"has 9 training rows \(1 more reappear in the scored split\)"):
        draw(load_task("boolq"), rows, 10, 42, scored=[disguised])


def test_an_overlap_can_be_refused() -> None:
    rows = rows_with([0, 1] * 5)
    disguised = [rows[3] | {"passage": "  PASSAGE   3"}, rows[4]]
    with pytest.raises(
        DataError, match=r"2 training rows reappear in the scored split \(the first is row 4\)"
    ):
        draw(load_task("boolq"), rows, 2, 42, scored=disguised, overlap="refuse")
    assert (
        draw(load_task("boolq"), rows, 2, 42, scored=rows_with([0] * 11)[10:], overlap="refuse").dropped == 0
    )


def groups(count: int, size: int) -> list[dict[str, Any]]:
    """`count` groups of `size` rows that differ in one word, each with both labels."""
    words = ("alpha beta gamma", "one two three", "red green blue", "cat dog owl", "sun moon star")
    return [
        BOOLQ | {"passage": f"{words[group]} {'x' * (row + 1)}.", "label": row % 2}
        for row in range(size) for group in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_most_diverse_shots_are_of_every_group(seed: int) -> None:
    rows = groups(5, 8)
    shots = draw(load_task("boolq"), rows, 5, seed, select="diverse")
    assert {row["passage"][:3] for row in shots.rows} == {"alp", "one", "red", "cat", "sun"}
    assert shots == draw(load_task("boolq"), rows, 5, seed, select="diverse")
    assert sorted(row["label"] for row in shots.rows) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_each_diverse_shot_is_the_farthest_of_its_label() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tailored_llama.data.shots import _fingerprint

    task, rows = load_task("boolq"), groups(5, 4)
    chosen = draw(task, rows, 7, 3, select="diverse").indices
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit_transform(
        [_fingerprint(task, row, number, "rows") for number, row in enumerate(rows)]
    )
    cosine = (vectors @ vectors.T).toarray()
    for place in range(1, len(chosen)):
        taken, now = chosen[:place], chosen[place]
        rivals = [i for i in range(len(rows)) if i not in taken and rows[i]["label"] == rows[now]["label"]]
        nearest = {i: max(cosine[i, j] for j in taken) for i in rivals}
        assert nearest[now] == pytest.approx(min(nearest.values()))
