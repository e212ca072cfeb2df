"""Whole runs on a really trained model and the seven real tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tailored_llama import checkpoint, evaluate, run

REAL = ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
LIMIT = 40


@pytest.fixture(scope="module")
def corpora(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The beginning of both corpora: a run measures perplexity once for each of its models."""
    folder = tmp_path_factory.mktemp("corpora")
    for name in ("wikitext2", "ptb"):
        text = (shared / "data" / name / "test.txt").read_text()
        (folder / f"{name}.txt").write_text(text[:12_000])
    return {name: str(folder / f"{name}.txt") for name in ("wikitext2", "ptb")}


@pytest.fixture(scope="module")
def recipe(shared: Path, corpora: dict[str, str]) -> dict[str, Any]:
    return {
        "model": str(shared / "models" / "stories260K"),
        "tasks": list(REAL),
        "data": {
            **{name: str(shared / "data" / name) for name in REAL},
            **corpora,
        },
        "prune": {
            "ratio": 0.3,
            "calibration": {
                "source": str(shared / "data" / "c4" / "demo.jsonl"), "samples": 10, "length": 64,
            },
        },
        "tune": {"shots": 8, "epochs": 1, "batch_size": 8, "prompt": "paper"},
        "evaluate": {"limit": LIMIT, "perplexity": ["wikitext2", "ptb"]},
        "export": {"formats": ["hf"]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("run") / "real"
    return out, run(recipe, out)


def rows(results: dict[str, Any], stage: str, prompt: str = "same") -> list[dict[str, Any]]:
    return [row for row in results["rows"] if (row["stage"], row["prompt"]) == (stage, prompt)]


def test_every_row_of_the_contract_is_there(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    for prompt in ("same", "harness"):
        assert len(rows(results, "dense", prompt)) == len(rows(results, "pruned", prompt)) == 1
        for stage in ("tuned", "dense_tuned"):
            assert [row["task_tuned"] for row in rows(results, stage, prompt)] == [*REAL, None]
    for row in results["rows"]:
        assert {"params", "macs", "mean", "chance", "recovery", "seconds", "peak_memory"} <= row.keys()
        for figures in row["tasks"].values():
            assert {"acc", "acc_norm", "main", "stderr", "chance", "n", "cut"} <= figures.keys()
            assert figures["n"] == LIMIT


def test_files_of_the_contract_are_there(finished: tuple[Path, dict[str, Any]]) -> None:
    out, results = finished
    assert json.loads((out / "results.json").read_text()) == results.to_json()
    assert "<html" in (out / "report.html").read_text()
    assert (out / "prune" / "plan.json").is_file()
    assert not list((out / "tune-boolq").glob("*.safetensors"))
    assert (out / "tune-boolq" / "adapter" / "adapter_model.safetensors").is_file()
    AutoModelForCausalLM.from_pretrained(out / "export-hf-boolq")


def test_asked_share_of_the_parameters_went(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    dense, pruned = rows(results, "dense")[0]["params"], rows(results, "pruned")[0]["params"]
    assert 1 - pruned / dense == pytest.approx(0.3, abs=0.005)


def test_prompts_longer_than_the_context_are_counted(finished: tuple[Path, dict[str, Any]]) -> None:
    # A 512-token vocabulary turns BoolQ's passages into more than this model's 512 positions.
    assert 0 < rows(finished[1], "dense")[0]["tasks"]["boolq"]["cut"] <= LIMIT


def test_perplexities_are_of_whole_windows(finished: tuple[Path, dict[str, Any]]) -> None:
    for name in ("wikitext2", "ptb"):
        figures = rows(finished[1], "dense")[0]["perplexity"][name]
        assert figures["length"] == 128
        assert 1 < figures["perplexity"] < 1e6


def test_a_finished_run_is_resumed_in_no_time(
    finished: tuple[Path, dict[str, Any]], recipe: dict[str, Any]
) -> None:
    out, results = finished
    stages = sorted(path.parent for path in out.glob("*/manifest.json"))
    before = {path: (path / "manifest.json").stat().st_mtime_ns for path in stages}
    assert run(recipe, out)["rows"] == results["rows"]
    assert {path: (path / "manifest.json").stat().st_mtime_ns for path in stages} == before


def test_an_interrupted_run_makes_only_what_is_missing(
    finished: tuple[Path, dict[str, Any]], recipe: dict[str, Any]
) -> None:
    out, _ = finished
    lost = out / "tune-piqa"
    kept = (out / "prune" / "manifest.json").stat().st_mtime_ns
    digest = checkpoint.digest_directory(lost / "adapter")
    (lost / "manifest.json").unlink()
    for path in sorted(lost.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run(recipe, out)
    assert (out / "prune" / "manifest.json").stat().st_mtime_ns == kept
    assert checkpoint.digest_directory(lost / "adapter") == digest


def test_the_exported_model_scores_as_its_row_says(
    finished: tuple[Path, dict[str, Any]], recipe: dict[str, Any]
) -> None:
    out, results = finished
    tuned = next(row for row in rows(results, "tuned") if row["task_tuned"] == "arc_easy")
    alone = evaluate(
        out / "export-hf-arc_easy", tasks=["arc_easy"], prompt="paper", data=recipe["data"], limit=LIMIT
    )
    assert alone["tasks"]["arc_easy"]["acc"] == pytest.approx(tuned["tasks"]["arc_easy"]["acc"], abs=0.011)
