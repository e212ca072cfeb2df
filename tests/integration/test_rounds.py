"""Pruning and healing in rounds."""

from __future__ import annotations

import json
from pathlib import Path

from tailored_llama import checkpoint, export, run
from tailored_llama.checkpoint.lineage import what_was_cut
from tailored_llama.results import Parameters


def card_of(directory: Path) -> str:
    return (export(directory, to="hf", out=directory.parent / "exported") / "README.md").read_text()


def test_a_run_in_rounds_ends_at_the_ratio_it_was_asked_for(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    recipe = {
        "model": str(base), "tasks": ["boolq"], "data": data,
        "prune": {"ratio": 0.4, "criterion": "l2", "allocate": "global"},
        "heal": {"rounds": 3, "texts": 8, "length": 4, "epochs": 1},
        "tune": {"shots": 8, "prompt": "paper", "epochs": 1, "batch_size": 8},
        "evaluate": {"limit": 4}, "export": {"formats": []},
    }  # fmt: skip
    results = run(recipe, tmp_path / "run")
    rows = {row["stage"]: row for row in results["rows"] if row["prompt"] == "same"}
    assert [*rows] == ["dense", "pruned", "healed", "dense_tuned", "tuned"]
    dense = rows["dense"]["params"]
    unit = 3 * 32 + 32  # an MLP channel is less than this; a round may miss by one unit
    assert rows["tuned"]["params"] == rows["healed"]["params"] == rows["pruned"]["params"]
    assert abs(rows["tuned"]["params"] - 0.6 * dense) < 3 * unit * 8
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"prune-1", "heal-1", "prune-2", "heal-2", "prune", "heal"} <= names
    manifest = json.loads((tmp_path / "run" / "tune-boolq" / "adapter" / "base.json").read_text())
    healed_weights = checkpoint.weights_digest(checkpoint.open_weights(tmp_path / "run" / "heal"))
    assert manifest["weights"] == healed_weights
    assert "pruned, healed" in (tmp_path / "run" / "report.html").read_text()
    record = what_was_cut(tmp_path / "run" / "heal")
    assert record is not None
    assert record.params == Parameters(before=dense, after=rows["tuned"]["params"])
    assert record.source.model == base.name
    assert record.rounds == 3
    card = card_of(tmp_path / "run" / "heal")
    assert '"rounds": 3' in card
    assert f"`pico`, cut from {dense:,} to {rows['tuned']['params']:,} parameters" in card
