"""A sweep that tunes nothing: rows of whole models in lm_eval's wording, with divergences, and its table."""

from __future__ import annotations

from pathlib import Path

from tailored_llama.recipe import load_recipe
from tailored_llama.reporting.sweep import markdown
from tailored_llama.results import SweepResults
from tailored_llama.workflows.run import run


def test_rows_table_and_page_without_tuning(tmp_path: Path) -> None:
    recipe = load_recipe(
        {
            "model": "world",
            "tasks": ["world_piqa"],
            "prune": {"calibration": {"source": "world", "samples": 4, "length": 32}},
            "tune": {"reserve": True},
            "evaluate": {
                "split": "train", "limit": 8, "perplexity": ["world"], "length": 64, "windows": 4, "kl": True,
            },
            "sweep": {"tuned": False, "variants": {"taylor": {}, "l2": {"prune.criterion": "l2"}}},
        }
    )  # fmt: skip
    found = run(recipe, tmp_path / "out")
    assert isinstance(found, SweepResults)
    assert [entry.group for entry in found.settings] == ["taylor", "l2"]
    for entry in found.settings:
        assert list(entry.stages) == ["dense", "pruned"]
        kl = {stage: summary.kl or {} for stage, summary in entry.stages.items()}
        assert abs(kl["dense"]["world"]) < 1e-5
        assert kl["pruned"]["world"] > 0.01
        assert entry.last == entry.stages["pruned"]
    assert "l2" in markdown(found)
    assert (tmp_path / "out" / "report.html").is_file()
    assert not [*(tmp_path / "out" / "stages").glob("tune*")]
