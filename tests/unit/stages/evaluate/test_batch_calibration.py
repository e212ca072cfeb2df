"""Batch calibration: the mean log-likelihood of each label over the scored questions is subtracted."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from transformers import PreTrainedModel

from tailored_llama.data import load_task
from tailored_llama.errors import RecipeError
from tailored_llama.scoring import score
from tailored_llama.scoring.calibration import batch_calibrated
from tailored_llama.scoring.choices import Scored
from tailored_llama.stages.evaluate import evaluate
from tests.support.pico import saved, worded
from tests.support.tasks import choice_task, write_split, written_task
from tests.support.tokenizers import tokenizer

OPTIONS_OF_ROW = """
metric: acc_norm
scored: test
max_length: 64
fields: [text, one, two, label]
options: "[one, two]"
gold: label | int
prompts:
  plain: {context: "{{ text }}"}
  letters: {context: "{{ text }}", answers: "letters[:2]"}
  partial: {contexts: "options", answer: "{{ text }}"}
source: {files: .}
"""


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return worded()


def pairs_task(folder: Path) -> Path:
    """Every row has options of its own."""
    for split in ("train", "test"):
        rows = [
            {"text": f"{split[1]} owl {i}", "one": f"a cat {i}", "two": f"dogs {i}", "label": i % 3 % 2}
            for i in range(6)
        ]
        write_split(folder, split, rows)
    (folder / "pairs.yaml").write_text(OPTIONS_OF_ROW)
    return folder / "pairs.yaml"


def run(model: PreTrainedModel, task: Path | list[Path], **settings: Any) -> Any:
    tasks = [task] if isinstance(task, Path) else task
    return evaluate(model, tasks=tasks, tokenizer=tokenizer(), batch_calibration=True, **settings)


def expected(model: PreTrainedModel, path: Path, prompt: str) -> list[float]:
    """By the definition: log P(label | question) minus its mean over the questions."""
    task = load_task(path)
    scored = score(model, tokenizer(), task.examples(prompt, task.rows("scored")))
    means = [fmean(column) for column in zip(*(one.loglikelihoods for one in scored), strict=True)]
    right = []
    for one in scored:
        values = [
            (value - mean) / (length if task.metric == "acc_norm" else 1)
            for value, mean, length in zip(one.loglikelihoods, means, one.lengths, strict=True)
        ]
        right.append(float(values.index(max(values)) == one.gold))
    return right


def test_a_constant_preference_for_one_label_is_removed() -> None:
    scored = [Scored((-1.0, -3.0), (2, 3), 0, False), Scored((-2.0, -3.0), (2, 3), 1, False)]
    assert [one.correct("acc") for one in scored] == [True, False]
    calibrated = batch_calibrated(scored)
    assert [one.loglikelihoods for one in calibrated] == [(0.5, 0.0), (-0.5, 0.0)]
    assert [one.correct("acc") for one in calibrated] == [True, True]


def test_a_factor_of_all_labels_of_a_question_plays_no_part() -> None:
    scored = [Scored((-1.0, -3.0), (2, 3), 0, False), Scored((-2.0, -3.0), (2, 3), 1, False)]
    moved = [scored[0], Scored((-12.0, -13.0), (2, 3), 1, False)]
    assert [one.correct("acc") for one in batch_calibrated(moved)] == [
        one.correct("acc") for one in batch_calibrated(scored)
    ]


def test_the_main_metric_is_calibrated_and_the_other_value_is_kept(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    task = choice_task(tmp_path)
    write_split(tmp_path, "test", [{"text": f"owl {i}", "label": int(i > 1)} for i in range(7)])
    plain = evaluate(model, tasks=[task], tokenizer=tokenizer())
    row = run(model, task)
    figures, before = row.tasks["choice"], plain.tasks["choice"]
    right = expected(model, task, "plain")
    assert (figures.main, figures.uncalibrated) == (fmean(right), before.main)
    assert figures.main != before.main, "or the test shows nothing"
    assert (figures.acc, figures.acc_norm) == (before.acc, before.acc_norm)
    assert figures.stderr == pytest.approx((figures.main * (1 - figures.main) / 6) ** 0.5)
    assert row.mean == figures.main
    assert before.uncalibrated is None


def test_the_files_hold_both(model: PreTrainedModel, tmp_path: Path) -> None:
    task = choice_task(tmp_path / "task")
    place = saved(model, tmp_path / "model", tokenizer())
    out = tmp_path / "out"
    for calibrate in (False, True):
        evaluate(place, tasks=[task], out=out, batch_calibration=calibrate)
        document = json.loads((out / "results.json").read_text())
        assert ("uncalibrated" in document["rows"][0]["tasks"]["choice"]) == calibrate
        assert ("batch_calibration" in document["recipe"]["evaluate"]) == calibrate
    assert json.loads((out / "right.json").read_text())["choice"] == expected(model, task, "plain")


def test_labels_of_a_wording_count_where_options_differ(model: PreTrainedModel, tmp_path: Path) -> None:
    task = pairs_task(tmp_path)
    figures = run(model, task, prompt="letters").tasks["pairs"]
    assert figures.main == fmean(expected(model, task, "letters"))
    assert figures.uncalibrated is not None


@pytest.mark.parametrize("prompt", ["plain", "partial"])
def test_other_answers_in_every_row_are_refused_by_name(
    model: PreTrainedModel, tmp_path: Path, prompt: str
) -> None:
    with pytest.raises(RecipeError, match=r"same answers \(scored: pairs\)"):
        run(model, pairs_task(tmp_path), prompt=prompt)


def test_written_answers_and_single_questions_are_refused(model: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="scored: own"):
        run(model, written_task(tmp_path / "own"))
    with pytest.raises(RecipeError, match="scored: choice"):
        run(model, choice_task(tmp_path / "choice"), limit=1)


def test_of_several_tasks_the_others_are_skipped_with_a_note(
    model: PreTrainedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = [choice_task(tmp_path / "a"), pairs_task(tmp_path / "b")]
    with caplog.at_level(logging.WARNING):
        row = run(model, tasks, prompt="plain")
    assert [row.tasks[name].uncalibrated is None for name in ("choice", "pairs")] == [False, True]
    assert "batch calibration: not for pairs, whose answers differ between questions" in caplog.text
