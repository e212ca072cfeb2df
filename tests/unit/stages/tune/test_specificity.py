"""Specificity: the arithmetic of gains, and that what is asked was not taught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.data import Example
from tailored_llama.errors import DataError
from tailored_llama.recipe import Tune
from tailored_llama.stages.tune import cross_validation as crossval
from tailored_llama.stages.tune import specificities, specificity


def test_halves_have_even_labels_and_share_no_shot() -> None:
    shots = [Example(("q",) * 2, (" a", " b"), gold=n % 2, row=n) for n in range(10)]
    one, other = crossval.split(shots)
    assert sorted((*one, *other)) == list(range(10))
    assert [sum(shots[place].gold for place in half) for half in (one, other)] in ([2, 3], [3, 2])


def test_the_difference_is_of_means_over_tasks() -> None:
    entry = specificity._summary("plain", [0.5, 0.3], [[0.1], [0.3, 0.3, 0.3]], seed=1)
    assert (entry.own, entry.others) == (pytest.approx(0.4), pytest.approx(0.2))
    assert entry.specificity == pytest.approx(0.2)
    assert entry.specificity_interval == pytest.approx((0.1, 0.3))


def test_what_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="at least one other task"):
        specificities("world", task="world_boolq", others=[], settings=Tune(shots=8))
    with pytest.raises(DataError, match="at least two shots"):
        specificities("world", task="world_boolq", others=["world_piqa"], settings=Tune(shots=1))


TASK = """
extends: world_boolq
name: short
prompts:
  plain: {context: "{{ passage }}\\nQuestion: {{ question }}?\\nAnswer:"}
"""


def test_tuning_gains_on_the_held_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.yaml").write_text(TASK)
    command = "prompts rank world short.yaml --shots 8 --specificity world_piqa --json --set tune.epochs=3"
    assert execute([*command.split(), "--set", "tune.learning_rate=3.0e-3"]) == 0
    found = json.loads(capsys.readouterr().out)
    (entry,), (effect,) = found["specificity"], found["wordings"]
    assert entry["prompt"] == effect["prompt"] == "plain"
    assert entry["specificity"] == pytest.approx(entry["own"] - entry["others"])
    assert abs(entry["own"]) > 1e-3  # tuned, it answers differently
    low, high = entry["specificity_interval"]
    assert low <= entry["specificity"] <= high
    assert execute(["prompts", "rank", "world", "short.yaml", "--shots", "8"]) == 0
    assert "cross-validated score of this choice" in capsys.readouterr().out
