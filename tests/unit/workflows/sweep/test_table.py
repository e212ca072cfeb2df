"""The statistics over the cells of a sweep, its table and its pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailored_llama.reporting import sweep_tables
from tailored_llama.reporting.sweep import COLUMNS, markdown
from tailored_llama.reporting.sweep_page import sweep_page
from tailored_llama.results import CellState, Results, SweepResults
from tailored_llama.scoring import bootstrap
from tailored_llama.workflows.sweep.__main__ import main
from tailored_llama.workflows.sweep.table import table
from tests.support.results import corpus, row
from tests.support.sweeps import cells


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=3))
def test_the_first_draw_is_the_mean_and_equal_stages_differ_by_nothing(seeds: list[list[bool]]) -> None:
    answers = {"a": [list(map(float, s)) for s in seeds], "b": [[1.0, 0.0]] * len(seeds)}
    draws = bootstrap.mean_draws(answers)
    assert draws.values[0] == pytest.approx((np.mean(seeds) + 0.5) / 2)
    again = bootstrap.difference(draws, bootstrap.mean_draws(answers)).summary()
    assert again == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_intervals_are_those_of_the_binomial_and_grow_with_seeds_that_differ() -> None:
    generator = np.random.default_rng(1)
    right = (generator.random(400) < 0.7).astype(float).tolist()
    summary = bootstrap.mean_draws({"a": [right]}).summary()
    error = (summary["value"] * (1 - summary["value"]) / 400) ** 0.5
    assert summary["high"] - summary["low"] == pytest.approx(2 * 1.96 * error, rel=0.1)
    apart = bootstrap.mean_draws({"a": [right, [0.0] * 400]}).summary()
    assert apart["low"] < 0.05
    assert apart["high"] == pytest.approx(summary["value"], abs=0.06)
    paired = [1.0] * 10 + right[10:]
    whole, better = (bootstrap.mean_draws({"a": [own]}) for own in (right, paired))
    gain = bootstrap.difference(better, whole).summary()
    assert gain["high"] - gain["low"] < 0.5 * (summary["high"] - summary["low"])
    assert bootstrap.ratio(whole, whole) is not None
    assert bootstrap.ratio(whole, whole, offset=0.9) is None, "below chance there is nothing to recover"


def finished(home: Path, cell: Any, tuned: list[float]) -> None:
    """A run directory as a cell leaves it."""
    right = {"dense": [1.0] * 4, "pruned": [1.0, 0, 0, 0], "tuned": tuned}
    if cell.dense_tuned:
        right["dense_tuned"] = [1.0] * 4
    folder = home / cell.name
    rows = []
    for stage, own in right.items():
        place = folder / f"evaluate-{stage}-same"
        place.mkdir(parents=True)
        (place / "right.json").write_text(json.dumps({"world_boolq": own}))
        rows.append(
            row(
                stage, {"world_boolq": sum(own) / 4}, params=100 if "dense" in stage else 50,
                task_tuned="world_boolq" if "tuned" in stage else None, perplexity={"world": corpus(7.0)},
            )
        )  # fmt: skip
    (folder / "results.json").write_text(json.dumps(Results(rows=rows).to_json()))


@pytest.mark.usefixtures("undrawn")
def test_the_table_and_its_pages(tmp_path: Path) -> None:
    found = cells(**{"prune.ratio": [0.2, 0.5], "tune.shots": [5, 50], "seed": [1, 2]})
    for cell in found[:-1]:
        finished(tmp_path, cell, [1.0, 1.0, 1.0, float(cell.recipe.prune.ratio == 0.2)])
    entries = table(found, tmp_path, {cell.name for cell in found[:-1]})
    assert [entry.seeds for entry in entries] == [[1, 2], [1, 2], [1, 2], [1]]
    first, third = entries[0]["stages"], entries[2]
    assert first["tuned"]["mean"]["value"] == first["tuned"]["recovery"]["value"] == 1.0
    assert third["stages"]["tuned"]["recovery"]["value"] == 0.75
    assert third["stages"]["tuned"]["recovery_above_chance"]["value"] == 0.5
    assert third["stages"]["pruned"]["of_dense_tuned"]["value"] == 0.25
    assert third["versus_first"]["value"] == -0.25
    assert entries[3]["versus_first"]["value"] == -0.25, "on the one seed that both have"
    document = SweepResults(settings=entries, failed={found[-1].name: "the loss is nan"})
    lines = markdown(document).splitlines()
    assert len(lines) == 6
    assert all(line.count("|") == len(COLUMNS) + 1 for line in lines)
    assert {made.row_count for made in sweep_tables(document)} == {4}
    page = sweep_page(document)
    assert page.count("<svg") == 2
    assert "Learning curve" in page
    assert "more are in the table" not in page
    assert "the loss is nan" in page
    assert "ratio=0.5,shots=50" in page


@pytest.mark.usefixtures("undrawn")
def test_variants_are_compared_with_the_first_at_the_same_values(tmp_path: Path) -> None:
    variants = {"plain": {}, "other": {"tune.epochs": 3}}
    found = cells(**{"prune.ratio": [0.2, 0.5], "variants": variants, "seed": [1], "dense_tuned": False})
    right = {("plain", 0.2): 4, ("other", 0.2): 3, ("plain", 0.5): 2, ("other", 0.5): 3}
    for cell in found:
        assert not cell.dense_tuned
        count = right[cell.chosen["variant"], cell.recipe.prune.ratio]
        finished(tmp_path, cell, [1.0] * count + [0.0] * (4 - count))
    entries = table(found, tmp_path, {cell.name for cell in found})
    gains = {entry["group"]: entry["versus_first"]["value"] for entry in entries}
    assert gains == {
        "plain,ratio=0.2": 0.0, "other,ratio=0.2": -0.25, "plain,ratio=0.5": 0.0, "other,ratio=0.5": 0.25,
    }  # fmt: skip
    document = SweepResults(settings=entries, failed={})
    assert all(line.count("|") == len(COLUMNS) + 1 for line in markdown(document).splitlines())
    assert sweep_page(document).count("<svg") == 1

    def named(entry: Any, suffix: str) -> Any:
        settings = {**entry.settings, "variant": entry.settings["variant"] + suffix}
        return entry.model_copy(update={"settings": settings})

    six = [named(entry, suffix) for suffix in "123" for entry in entries]
    assert "2 more are in the table" in sweep_page(SweepResults(settings=six, failed={}))
    points = [named(entry, entry["group"]) for entry in entries]
    assert "<svg" not in sweep_page(SweepResults(settings=points, failed={})), (
        "no two that differ in the ratio alone"
    )


def test_while_dense_tuned_is_made_up_for_the_table_leaves_it_out(tmp_path: Path) -> None:
    lists = {"prune.ratio": [0.2], "seed": [1, 2]}
    (with_it, _), (_, without) = cells(**lists), cells(**lists, dense_tuned=False)
    for cell in (with_it, without):
        finished(tmp_path, cell, [1.0] * 4)
    (entry,) = table(cells(**lists), tmp_path, {with_it.name, without.name})
    assert list(entry["stages"]) == ["dense", "pruned", "tuned"]
    assert entry.seeds == [1, 2]


def test_nothing_finished_is_an_empty_table(tmp_path: Path) -> None:
    entries = table(cells(seed=[1]), tmp_path, ())
    assert entries == []
    assert "<table" in sweep_page(SweepResults(settings=entries, failed={}))


def test_tables_go_between_their_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cell,) = cells(seed=[1])
    home = tmp_path / "lab"
    finished(home / "cells", cell, [1.0] * 4)
    document = SweepResults(
        settings=table([cell], home / "cells", {cell.name}), failed={},
        cells=[CellState(name=cell.name, seed=1, chosen={}, finished=False)],
    )  # fmt: skip
    (home / "sweep.json").write_text(json.dumps(document.to_json()))
    page = tmp_path / "lab.md"
    page.write_text("before\n<!-- sweep: lab -->\nold\n<!-- end -->\nafter\n")
    for _ in range(2):
        assert main([str(home), "--write", str(page)]) == 0
        text = page.read_text()
        assert text.startswith("before\n<!-- sweep: lab -->\n\n| setting | seeds")
        assert text.endswith("1 cells are not finished.\n\n<!-- end -->\nafter\n")
        assert "old" not in text
    assert main([str(home)]) == 0
    assert capsys.readouterr().out.startswith("## lab\n\n| setting")
    lost = "<!-- sweep: lab -->\n# Keep me\n<!-- sweep: other -->\n<!-- end -->\n"
    for text in ("nothing", lost):
        page.write_text(text)
        assert main([str(home), "--write", str(page)]) == 2
        assert page.read_text() == text
    assert main([str(tmp_path / "none")]) == 2
    (home / "sweep.json").write_text("{}")
    capsys.readouterr()
    assert main([str(home)]) == 2
    assert "settings: Field required" in capsys.readouterr().err
