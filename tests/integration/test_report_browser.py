"""A report opened from the disk in a real browser: it sorts, and asks the network for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tailored_llama.recipe import load_recipe
from tailored_llama.reporting import report
from tests.support.browsing import requested, text_of
from tests.support.results import assembled, row


def write_run(directory: Path, params: int, mean: float) -> Path:
    """The results of a run on one task, and nothing else."""
    rows = [
        row(stage, {"boolq": value}, params=size, macs=2 * size, peak_memory=2**28)
        for stage, size, value in (("dense", 1000, 0.9), ("pruned", params, mean))
    ]
    directory.mkdir()
    recipe = load_recipe({"model": "some/model", "tasks": ["boolq"]})
    (directory / "results.json").write_text(json.dumps(assembled(rows, recipe).to_json()))
    return directory


def test_a_click_on_a_heading_sorts(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    runs = [
        write_run(tmp_path / name, params, mean)
        for name, params, mean in (("b", 900, 0.8), ("a", 200, 0.6), ("c", 1000, 0.7))
    ]
    page = report(runs, tmp_path / "all.html")
    browser.get(page.as_uri())

    def order() -> list[str]:
        return text_of(browser, "table.sortable tbody th")

    heads = browser.find_elements(By.CSS_SELECTOR, "table.sortable thead button")
    by_text = {head.text: head for head in heads}
    assert order() == ["b", "a", "c"]
    by_text["parameters"].click()
    assert order() == ["c", "b", "a"], "1000 is more than 900, though not as text"
    by_text["parameters"].click()
    assert order() == ["a", "b", "c"]
    by_text["pruned"].click()
    assert order() == ["b", "c", "a"]
    by_text["run"].click()
    assert order() == ["a", "b", "c"]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert requested(browser) == set()
