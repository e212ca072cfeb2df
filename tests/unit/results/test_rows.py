"""Rows put side by side: recovery is relative to the dense model on the same tasks and wording."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tailored_llama.errors import CheckpointError
from tailored_llama.recipe import load_recipe
from tailored_llama.results import Results, Row, combine, read_results, recovery
from tests.support import ROOT
from tests.support.results import assembled, corpus, row

RECIPE = load_recipe({"model": "m", "tasks": ["a", "b"]})
SCHEMA = ROOT / "docs" / "reference" / "results.schema.json"


def test_recovery_compares_the_same_tasks_only() -> None:
    dense = row("dense", {"a": 0.9, "b": 0.7})
    assert recovery(row("tuned", {"b": 0.63}), dense) == {
        "recovery": pytest.approx(0.9),
        "recovery_above_chance": pytest.approx(0.13 / 0.2),
    }


def test_recovery_above_a_dense_model_at_chance_is_undefined() -> None:
    assert recovery(row("tuned", {"a": 0.6}), row("dense", {"a": 0.5}))["recovery_above_chance"] is None


def test_the_share_above_chance_of_the_tuned_dense_model() -> None:
    rows = [
        row("dense", {"a": 0.8, "b": 0.6}),
        row("dense_tuned", {"a": 0.9}, task_tuned="a"), row("dense_tuned", {"b": 0.7}, task_tuned="b"),
    ]  # fmt: skip
    rows.append(combine(rows[1:]))
    rows += [row("tuned", {"a": 0.7}, task_tuned="a"), row("tuned", {"a": 0.7, "b": 0.6})]
    dense, *_, own, both = assembled(rows, RECIPE).rows
    assert own.above_chance_of_dense_tuned == pytest.approx(0.2 / 0.4)
    assert both.above_chance_of_dense_tuned == pytest.approx(0.15 / 0.3)
    assert dense.above_chance_of_dense_tuned == pytest.approx(0.2 / 0.3)
    (*_, alone) = assembled([rows[0], rows[1], row("tuned", {"a": 0.7, "b": 0.6})], RECIPE).rows
    assert alone.above_chance_of_dense_tuned is None, "dense_tuned has no score on b"


def test_the_mean_without_tasks_on_which_the_dense_model_is_below_chance() -> None:
    rows = [row("dense", {"a": 0.4, "b": 0.9}), row("pruned", {"a": 0.6, "b": 0.7})]
    dense, pruned = assembled(rows, RECIPE).rows
    assert pruned.mean == pytest.approx(0.65), "the plain figures stay"
    rest = pruned.without_below_chance
    assert rest is not None
    assert rest.tasks == ["a"]
    assert (rest.mean, rest.chance) == (pytest.approx(0.7), 0.5)
    assert rest.recovery == pytest.approx(0.7 / 0.9)
    assert rest.recovery_above_chance == pytest.approx(0.2 / 0.4)
    assert dense.without_below_chance is not None
    assert dense.without_below_chance.mean == pytest.approx(0.9)


def test_no_task_is_left_out_where_the_dense_model_is_at_chance_or_above() -> None:
    (first, *_) = assembled([row("dense", {"a": 0.5, "b": 0.9})], RECIPE).rows
    assert "without_below_chance" not in first.to_json()
    (alone,) = assembled([row("dense", {"a": 0.4})], RECIPE).rows
    assert alone.without_below_chance is not None
    assert alone.without_below_chance.mean is None


def test_wordings_are_never_mixed() -> None:
    rows = [
        row("dense", {"a": 0.8}), row("dense", {"a": 0.6}, prompt="harness"),
        row("pruned", {"a": 0.3}, prompt="harness"),
    ]  # fmt: skip
    assert assembled(rows, RECIPE).rows[2].recovery == pytest.approx(0.5)


def test_combined_row_takes_each_task_from_its_own_adapter() -> None:
    own = [
        row("tuned", {"a": 0.8}, task_tuned="a", perplexity={"text": corpus(8.0)}, peak_gpu_memory=3),
        row("tuned", {"b": 0.6}, task_tuned="b", perplexity={"text": corpus(10.0)}, peak_gpu_memory=7),
    ]
    both = combine(own)
    assert both.task_tuned is None
    assert both.mean == pytest.approx(0.7)
    assert (both.seconds, both.peak_memory, both.peak_gpu_memory) == (2.0, 5, 7)
    assert both.perplexity["text"].perplexity == pytest.approx(9)


def test_what_is_written_is_read_again() -> None:
    results = assembled([row("dense", {"a": 0.9}), row("pruned", {"a": 0.3})], RECIPE)
    content = json.loads(json.dumps(results.to_json()))
    assert content["schema"] == 2
    assert "unended" not in content["rows"][0]["tasks"]["a"], "what was not measured is not written"
    assert content["rows"][0]["task_tuned"] is None
    assert read_results("results.json", content) == results


def test_a_row_reads_like_a_json_object() -> None:
    one = row("dense", {"a": 0.9})
    assert one["tasks"]["a"]["acc"] == one.tasks["a"].acc == 0.9
    assert {**one}.keys() == one.to_json().keys()
    with pytest.raises(KeyError):
        one["nothing"]


def test_results_of_version_0_1_are_read_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    content = assembled([row("dense", {"a": 0.9})], RECIPE).to_json()
    del content["schema"]
    with caplog.at_level(logging.INFO):
        read_results("old/results.json", content)
    assert "old/results.json was written by version 0.1" in caplog.text


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"params": "many"}, "rows.0.params"),
        ({"stage": "cooked"}, "rows.0.stage"),
        ({"tusks": 2}, "rows.0.tusks"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], key: str) -> None:
    content = assembled([row("dense", {"a": 0.9})], RECIPE).to_json()
    content["rows"][0] |= change
    with pytest.raises(CheckpointError, match=f"^results.json: {key}: "):
        read_results("results.json", content)


def test_the_published_schema_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == Results.model_json_schema(), "stale: make docs"
    assert Row.model_fields.keys() <= {*Results.model_json_schema()["$defs"]["Row"]["properties"]}
