"""A folder of the user's with a criterion, a loss, an export format and a family, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tailored_llama.checkpoint import ModelWeights, load_model
from tailored_llama.cli import execute
from tailored_llama.families import Kept, groups
from tailored_llama.plugins import VARIABLE, plugins_kept, use_plugins
from tailored_llama.stages.prune import CutWeights
from tailored_llama.stages.prune.walk import Walk
from tests.support.masking import masked
from tests.support.pico import saved
from tests.support.plugins import BRIER, SPREAD, cwm, plugin_folder
from tests.support.tasks import choice_task
from tests.support.tokenizers import tokenizer

Run = Callable[..., str]
QUICK = ["--set", "tune.epochs=1", "--shots", "4", "--set", "tune.overlap=drop", "--prompt", "plain"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return plugin_folder(tmp_path / "mine")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(cwm(), tmp_path / "cwm", tokenizer())


@pytest.fixture
def tailor(mine: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        assert execute(["--plugins", str(mine), *map(str, arguments)]) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        return err if code else out

    return run


def manifest(place: Path) -> dict[str, Any]:
    return dict(json.loads((place / "manifest.json").read_text()))


def test_they_are_listed(tailor: Run, mine: Path) -> None:
    for verb, name in (
        ("criteria", "spread"), ("losses", "brier"), ("formats", "inventory"), ("families", "cwm"),
    ):  # fmt: skip
        rows = {row["name"]: row for row in json.loads(tailor(verb, "--json"))[verb]}
        assert rows[name]["plugin"] == str(mine / verb / f"{name}.py")
        assert "plugin" not in rows[min(rows.keys() - {name})]
        assert str(mine / verb / f"{name}.py") in tailor(verb)
    assert VARIABLE not in os.environ, "--plugins is of one command"


@pytest.mark.parametrize("allocate", ["uniform", "global"])
def test_a_criterion_cuts_a_family(
    tailor: Run, mine: Path, model: Path, tmp_path: Path, allocate: str
) -> None:
    cut = tmp_path / "cut"
    command = [
        "prune", model, "--out", cut, "--criterion", "spread", "--ratio", "0.2", "--set", "prune.of=units",
        "--set", f"prune.allocate={allocate}",
    ]  # fmt: skip
    tailor(*command)
    assert {"criterion spread", "family cwm", "model"} == manifest(cut)["inputs"].keys()
    form = "CwmForCausalLM" if allocate == "uniform" else "ShapedCwmForCausalLM"
    assert json.loads((cut / "config.json").read_text())["architectures"] == [form]
    with plugins_kept():
        use_plugins(mine)
        own = load_model(cut)
    tokens = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        expected = own(tokens).logits.double().sum().item()
    code = (
        "import sys, torch; from transformers import AutoModelForCausalLM as Auto\n"
        f"model = Auto.from_pretrained({str(cut)!r}, trust_remote_code=True).eval()\n"
        "print(type(model).__name__, model(torch.arange(12).reshape(2, 6)).logits.double().sum().item())\n"
        "assert 'tailored_llama' not in sys.modules"
    )
    alone = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.split()
    assert alone[0] == form, "without this package, and without the plugin"
    assert float(alone[1]) == pytest.approx(expected, abs=1e-3)

    written = (cut / "manifest.json").stat().st_mtime_ns
    tailor(*command)
    assert (cut / "manifest.json").stat().st_mtime_ns == written, "nothing has changed"
    (mine / "criteria" / "spread.py").write_text(SPREAD.replace("correction=0", "correction=1"))
    tailor(*command)
    assert (cut / "manifest.json").stat().st_mtime_ns != written, "the criterion has"


def test_a_cut_of_the_family_is_the_masked_model_and_the_walk_its_gradients(mine: Path) -> None:
    kept: Kept = {
        "heads": {0: [0, 2], 1: [1, 2, 3]}, "mlp": {0: [*range(20)], 1: [3, 4, 40]},
        "hidden": {-1: [*range(28)]},
    }  # fmt: skip
    with plugins_kept():
        use_plugins(mine)
        dense = cwm().double()
        cut = load_model(CutWeights(ModelWeights(dense), kept))
        cut.set_attn_implementation("eager")
        tokens = torch.randint(300, (2, 9), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found, expected = cut(tokens).logits, masked(dense, kept)(tokens).logits
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))

        scored = [piece.tensor for group in groups(cut.config) for piece in group.slices if piece.scored]
        gradients: dict[str, torch.Tensor] = {}
        walk = Walk(ModelWeights(cut), tokens, scored)
        loss = walk.gradients(lambda name, weight, gradient, squares: gradients.update({name: gradient}))
        whole = cut(input_ids=tokens, labels=tokens, use_cache=False).loss
        assert loss == pytest.approx(whole.item(), rel=1e-5)
        for name, gradient in zip(
            gradients, torch.autograd.grad(whole, [cut.get_parameter(n) for n in gradients]), strict=True
        ):
            scale = float(gradient.abs().max())
            torch.testing.assert_close(gradients[name].double(), gradient, rtol=1e-4, atol=1e-4 * scale)


def test_a_loss_trains_alone_and_beside_others(tailor: Run, mine: Path, model: Path, tmp_path: Path) -> None:
    task = choice_task(tmp_path / "rows")
    histories = {}
    for name, loss in (("alone", "brier"), ("three", "{brier: 2, choice: 0.5, distill: 0.5}")):
        out = tmp_path / name
        tailor(
            "tune",
            model,
            "--task",
            task,
            "--out",
            out,
            "--teacher",
            model,
            *QUICK,
            "--set",
            f"tune.loss={loss}",
        )
        assert {"loss brier", "family cwm"} <= manifest(out)["inputs"].keys()
        histories[name] = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    first = histories["three"][0]
    assert first["parts"].keys() == {"brier", "choice", "distill"}
    assert first["parts"]["brier"] == pytest.approx(histories["alone"][0]["loss"], rel=1e-4)
    assert first["loss"] == pytest.approx(
        2 * first["parts"]["brier"] + 0.5 * (first["parts"]["choice"] + first["parts"]["distill"]), rel=1e-4
    )


def test_a_format_writes_a_file_with_a_card_or_alone(
    tailor: Run, mine: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tailor("export", model, "--to", "inventory", "--out", out)
    assert {path.name for path in out.iterdir()} == {"model.txt", "README.md", "manifest.json"}
    assert "model.norm.weight (48,)" in (out / "model.txt").read_text()
    assert "Read it with an editor." in (out / "README.md").read_text()
    assert {"export format inventory", "family cwm"} <= manifest(out)["inputs"].keys()
    tailor("export", model, "--to", "inventory", "--out", tmp_path / "alone.txt")
    assert (tmp_path / "alone.txt").read_text() == (out / "model.txt").read_text()


def test_a_whole_run(tailor: Run, mine: Path, model: Path, tmp_path: Path) -> None:
    recipe = {
        "model": str(model), "tasks": [str(choice_task(tmp_path / "rows"))],
        "prune": {"criterion": "spread", "ratio": 0.2, "calibration": {"source": "task"}},
        "tune": {"loss": ["brier", "answer"], "shots": 4, "epochs": 1, "prompt": "plain"},
        "export": {"formats": ["inventory", "hf"]},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    out = tmp_path / "run"
    rows = json.loads(tailor("run", tmp_path / "recipe.yaml", "--out", out, "--json"))["rows"]
    assert {row["stage"] for row in rows} == {"dense", "pruned", "tuned", "dense_tuned"}
    assert (out / "export-inventory-choice" / "model.txt").is_file()
    stages = ["prune", "tune-choice", "export-inventory-choice"]
    before = [(out / name / "manifest.json").stat().st_mtime_ns for name in stages]
    (mine / "losses" / "brier.py").write_text(BRIER + "\n# changed\n")
    tailor("run", tmp_path / "recipe.yaml", "--out", out)
    after = [(out / name / "manifest.json").stat().st_mtime_ns for name in stages]
    assert after[0] == before[0], "the cut does not depend on the loss"
    assert after[1] != before[1]


def test_errors_are_one_line(tailor: Run, mine: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cut = ["prune", model, "--out", out, "--criterion", "spread", "--ratio", "0.2"]
    for text, reason in (
        ("def spread(", "spread.py: SyntaxError"),
        (SPREAD.replace("matrix.weight.std", "matrix.weights.std"), "spread.py, line 8: AttributeError"),
        (SPREAD.replace("matrix.weight.std", "(matrix.weight @ matrix.weight).std"), "line 8: RuntimeError"),
        (SPREAD.replace("dim=1, ", ""), "scores of shape ()"),
    ):
        (mine / "criteria" / "spread.py").write_text(text)
        output = tailor(*cut, code=2)
        assert [line for line in output.splitlines() if line.startswith("tailor:")] == output.splitlines()[
            -1:
        ]
        assert reason in output
        assert not out.exists()
    (mine / "criteria" / "taylor.py").write_text(SPREAD)
    assert "the criterion taylor of tailored_llama" in tailor("criteria", code=2)


def test_a_family_needs_its_plugin(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["prune", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "architecture 'cwm'; the nearest is ministral" in capsys.readouterr().err
    assert isinstance(AutoModelForCausalLM.from_pretrained(model), torch.nn.Module)
