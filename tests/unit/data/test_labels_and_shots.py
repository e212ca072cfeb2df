"""More labels than shots: which labels are shown depends on the seed, and the others are named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tailored_llama import tune
from tailored_llama.data import load_task
from tailored_llama.data.labels import NAMED, warn_of_unseen
from tailored_llama.data.shots import Shots, draw
from tests.support.pico import worded
from tests.support.tasks import write_split
from tests.support.tokenizers import tokenizer

TASK = """
metric: acc
scored: test
max_length: 256
fields: {fields}
options: {options}
gold: options.index(label)
source: {{files: .}}
prompts:
  plain: {{context: "{{{{ text }}}}"}}
"""


@pytest.fixture(autouse=True)
def _told_anew() -> None:
    warn_of_unseen.cache_clear()


def own(folder: Path, labels: int, used: int | None = None, *, per_row: bool = False) -> Path:
    """`labels` options, two rows for each of the first `used`; `per_row` has them in a field of the row."""
    names = [f"label {i}" for i in range(labels)]
    for split in ("train", "test"):
        rows = [
            {
                "text": f"{split} {i}",
                "label": names[i % (used or labels)],
                **({"names": names} if per_row else {}),
            }
            for i in range(2 * (used or labels))
        ]
        write_split(folder, split, rows)
    fields = "{text: text, label: text, names: list}" if per_row else "[text, label]"
    options = "names" if per_row else json.dumps(json.dumps(names))
    (folder / "own.yaml").write_text(TASK.format(fields=fields, options=options))
    return folder / "own.yaml"


def drawn(path: Path, k: int, seed: int, **settings: str) -> tuple[Shots, list[int]]:
    task = load_task(path)
    shots = draw(task, task.rows("train"), k, seed, **settings)  # type: ignore[arg-type]
    return shots, [task.label(row) for row in shots.rows]


@pytest.mark.parametrize("select", ["balanced", "diverse"])
@pytest.mark.parametrize("per_row", [False, True])
def test_which_labels_are_shown_depends_on_the_seed(select: str, per_row: bool, tmp_path: Path) -> None:
    path = own(tmp_path, 30, per_row=per_row)
    found = [drawn(path, 6, seed, select=select) for seed in range(8)]
    for shots, labels in found:
        assert len(set(labels)) == 6
        assert shots.unseen == tuple(f"label {i}" for i in range(30) if i not in labels)
    assert len({tuple(sorted(labels)) for _, labels in found}) == 8
    # Over the seeds every part of the list is shown.
    shown = {label for _, labels in found for label in labels}
    assert len(shown) > 20
    assert drawn(path, 6, 3, select=select)[1] == found[3][1]


def test_as_many_shots_as_labels_show_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shots, labels = drawn(own(tmp_path, 5), 5, 1)
    assert sorted(labels) == list(range(5))
    assert shots.unseen == ()
    assert not caplog.records


def test_the_labels_that_are_not_shown_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = own(tmp_path, 30)
    with caplog.at_level(logging.WARNING):
        shots, _ = drawn(path, 6, 1)
        drawn(path, 6, 1)
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith(
        f"task own: none of the 6 shots has the label {shots.unseen[0]}, {shots.unseen[1]}, "
    )
    assert f"and {24 - NAMED} more" in line
    assert "\n" not in line
    assert len(line) < 400


def test_a_label_without_training_rows_is_named_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        shots, _ = drawn(own(tmp_path, 4, used=3), 6, 1)
    assert shots.unseen == ("label 3",)
    assert "none of the 6 shots has the label label 3; use more shots" in caplog.text


def test_options_of_each_row_are_named_by_their_place(tmp_path: Path) -> None:
    rows = [
        {"text": str(i), "label": f"{i} {'abc'[i % 3]}", "names": [f"{i} a", f"{i} b", f"{i} c"]}
        for i in range(9)
    ]
    path = own(tmp_path, 3, per_row=True)
    write_split(tmp_path, "train", rows)
    shots, labels = drawn(path, 2, 1)
    assert shots.unseen == tuple(f"option {i + 1}" for i in range(3) if i not in labels)


def test_tuning_records_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = own(tmp_path / "task", 4)
    with caplog.at_level(logging.WARNING):
        out = tune(
            worded(),
            tokenizer=tokenizer(),
            task=path,
            shots=2,
            prompt="plain",
            epochs=1,
            out=tmp_path / "out",
            merge=False,
        )
    record = json.loads((Path(str(out)) / "shots.json").read_text())
    assert record["unseen_labels"] == [f"label {i}" for i in range(4) if i not in record["labels"]]
    assert len(record["unseen_labels"]) == 2
    assert sum("none of the 2 shots" in entry.getMessage() for entry in caplog.records) == 1


def test_written_answers_have_no_labels() -> None:
    task = load_task("world_tell")
    assert draw(task, task.rows("train")[:20], 2, 1).unseen == ()
