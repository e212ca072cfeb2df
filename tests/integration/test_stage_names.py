"""What a model has been through, by one name in results.json, the terminal, the report and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import evaluate, export, heal, prune, tune
from tailored_llama.checkpoint import load_model
from tailored_llama.checkpoint.lineage import stage_of
from tailored_llama.cli import execute
from tailored_llama.recipe import Heal, Tune
from tailored_llama.reporting import report
from tailored_llama.reporting.formatting import LABELS
from tailored_llama.reporting.terminal import tables
from tailored_llama.results import Results
from tests.support.pico import saved, worded
from tests.support.tasks import TEXT, choice_task
from tests.support.tokenizers import tokenizer

QUICK: dict[str, Any] = {"shots": 4, "prompt": "plain", "epochs": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pico in every state, each as its own stage and each exported."""
    root = tmp_path_factory.mktemp("models")
    task = choice_task(root / "task")
    made: dict[str, Any] = {"dense": saved(worded(), root / "dense", tokenizer())}
    made["pruned"] = prune(made["dense"], ratio=0.2, criterion="l2", out=root / "pruned")
    made["healed"] = heal(
        made["pruned"], teacher=made["dense"], tasks=[task], out=root / "healed",
        settings=Heal(texts=4, length=4, epochs=1), shots=Tune(shots=4, prompt="plain"),
    )  # fmt: skip
    made["dense_tuned"] = tune(made["dense"], task=task, out=root / "dense_tuned", **QUICK)
    made["tuned"] = tune(made["pruned"], task=task, out=root / "tuned", **QUICK)
    made["tuned after healing"] = tune(made["healed"], task=task, out=root / "tuned-healed", **QUICK)
    for name in ("dense", "pruned", "healed", "dense_tuned", "tuned"):
        made[f"{name} exported"] = export(made[name], out=root / f"{name}-hf")
    for name, base in (("dense_tuned", "dense"), ("tuned", "healed")):
        adapter = root / name / "adapter"
        made[f"{name} merged by export"] = export(
            made[base], adapter=adapter, base_unchecked=True, out=root / f"{name}-merged"
        )
    return made


def test_a_stage_is_what_the_model_has_been_through(models: dict[str, Path]) -> None:
    assert {name: stage_of(path) for name, path in models.items()} == {
        name: "tuned" if name == "tuned after healing" else name.split()[0] for name in models
    }
    assert stage_of(models["dense"], adapter=True) == "dense_tuned"
    assert stage_of(models["pruned"], adapter=True) == stage_of(models["healed"], adapter=True) == "tuned"
    assert stage_of(load_model(models["dense"])) == "dense"


def test_a_model_that_was_cut_into_layers_of_other_widths_is_known_by_them(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """However it came here: nothing lies beside it."""
    cut = prune(
        models["dense"], ratio=0.2, criterion="l2", allocate="global", calibration={"source": "world"},
        out=tmp_path / "cut",
    )  # fmt: skip
    (tmp_path / "cut" / "manifest.json").unlink()
    (tmp_path / "cut" / "plan.json").unlink()
    assert stage_of(str(cut)) == "pruned"
    assert stage_of(load_model(str(cut)), adapter=True) == "tuned"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dense", "dense"), ("dense_tuned", "dense, tuned"), ("dense_tuned exported", "dense, tuned"),
        ("dense_tuned merged by export", "dense, tuned"), ("tuned", "pruned, tuned"),
        ("pruned exported", "pruned"), ("healed", "pruned, healed"),
        ("tuned merged by export", "pruned, tuned"),
    ],
)  # fmt: skip
def test_it_is_shown_alike(name: str, label: str, models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 8)
    requested: dict[str, Any] = {"perplexity": [str(tmp_path / "text.txt")], "length": 16}
    row = evaluate(models[name], out=tmp_path / "scored", **requested)
    written = json.loads((tmp_path / "scored" / "results.json").read_text())
    results = Results(rows=[row])
    assert row.stage == written["rows"][0]["stage"]
    assert LABELS[row.stage] == label
    for table in tables(results):
        assert str(table.columns[-1].header).replace("\n", " ") == label
    export(models[name], results=results, out=tmp_path / "card")
    card = (tmp_path / "card" / "README.md").read_text()
    assert f"\n| {label.removeprefix('pruned, ')} |" in card


def test_the_command_line_and_the_page_say_it(models: dict[str, Path], tmp_path: Path) -> None:
    task = choice_task(tmp_path / "task")
    command = [
        "evaluate",
        str(models["dense_tuned"]),
        "--tasks",
        str(task),
        "--out",
        str(tmp_path / "scored"),
    ]
    assert execute(command) == 0
    page = Path(str(report([tmp_path / "scored"], tmp_path / "page.html"))).read_text()
    assert "dense, tuned" in page
    assert "pruned, tuned" not in page
