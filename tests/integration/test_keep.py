"""What a run leaves: no teacher's distributions, no export unless requested, no weights twice."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import checkpoint, run
from tailored_llama.stages.tune import stage as tuning
from tailored_llama.training import teacher


def recipe(model: Path, rows: dict[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "model": str(model), "tasks": ["boolq"], "data": rows,
        "prune": {"ratio": 0.2, "criterion": "l2"},
        "heal": {"texts": 8, "length": 4, "epochs": 1, "precision": "fp32"},
        "tune": {
            "shots": 8, "prompt": "paper", "epochs": 1, "batch_size": 8, "loss": "distill",
            "precision": "fp32",
        },
        "evaluate": {"limit": 4},
        **changes,
    }  # fmt: skip


def names(directory: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in directory.glob(pattern))


def test_a_run_leaves_adapters_and_the_healed_base(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    out = tmp_path / "run"
    run(recipe(base, data), out)
    assert not names(out, "*teacher-*") + names(out, "*trained-*") + names(out, "export-*")
    assert (out / "heal" / "model.safetensors").is_file()
    assert (out / "tune-boolq" / "adapter" / "adapter_model.safetensors").is_file()
    by_digest = defaultdict(set)
    for path in out.rglob("*.safetensors"):
        by_digest[checkpoint.digest_file(path)].add(path.stat().st_ino)
    assert all(len(inodes) == 1 for inodes in by_digest.values()), "no weights are stored twice"


def test_distributions_stay_while_a_stage_needs_them_and_with_keep_all(
    base: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    out = tmp_path / "run"

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(recipe(base, data), out)
    (left,) = names(out, "teacher-*")  # that of healing is gone: healing is complete
    original = teacher.distributions
    with monkeypatch.context() as patch:
        patch.setattr(teacher, "distributions", None)  # both tunings find it there
        run(recipe(base, data, keep="all"), out)
    assert names(out, "teacher-*") == [left], "what is kept outlives the run"
    assert teacher.distributions is original
    run(recipe(base, data), out)
    assert not names(out, "teacher-*")


def test_a_sweep_leaves_none(base: Path, data: dict[str, str], tmp_path: Path) -> None:
    swept = {"tune.learning_rate": [1e-4, 1e-3], "dense_tuned": False}
    run(recipe(base, data, sweep=swept), tmp_path / "out")
    left = names(tmp_path / "out" / "stages", "*")
    assert len([name for name in left if name.startswith("tune-")]) == 2
    assert not [name for name in left if "teacher" in name or "trained" in name]
