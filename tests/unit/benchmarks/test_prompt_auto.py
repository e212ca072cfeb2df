"""The benchmark of `prompt: auto`: its arithmetic on made-up answers, and where its table goes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return benchmark("prompt_auto")


def test_arms_and_differences(bench: ModuleType) -> None:
    right = {
        "a": {"x": [[1, 1, 0, 0], [1, 0, 0, 0]], "y": [[1, 1, 1, 0], [0, 0, 0, 0]]},
        "b": {"x": [[1, 0], [1, 1]], "z": [[0, 0], [0, 0]]},
    }
    picks = {"untuned": {"a": ["y", "x"], "b": ["x", "z"]}}
    found = bench.summary(right, picks)
    means = {name: entry["value"] for name, entry in found["means"].items()}
    assert means == pytest.approx(
        {
            "auto (untuned)": ((3 / 4 + 1 / 4) / 2 + (1 / 2 + 0) / 2) / 2,
            "always x": (3 / 8 + 3 / 4) / 2,
            "best in hindsight": (3 / 8 + 3 / 4) / 2,
            "mean wording": ((3 / 8 + 3 / 8) / 2 + 3 / 8) / 2,
        }
    )
    assert found["tasks"]["auto (untuned)"] == pytest.approx({"a": 0.5, "b": 0.25})
    gap = found["differences"]["auto (untuned)"]["always x"]
    assert gap["value"] == pytest.approx(means["auto (untuned)"] - means["always x"])
    assert gap["low"] <= gap["value"] <= gap["high"]
    text = bench.table(found, "Words.", "command")
    assert "| always x | 37.5 | 75.0 | 56.2 (" in text
    assert text.splitlines()[4].count("|") == text.splitlines()[6].count("|")


def test_a_table_goes_between_the_marks(bench: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    bench.write("new\n", page)
    assert page.read_text() == f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="no place for the table"):
        bench.write("new\n", page)
