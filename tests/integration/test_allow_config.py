"""`--allow-config` on the command line: every verb has it, and none needs it for what another wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tailored_llama import world
from tailored_llama.cli import execute

ALLOW = ("twist", "sparsity_pattern")
FLAGS = [word for name in ALLOW for word in ("--allow-config", name)]
REFUSAL = "does not know the attributes twist = 0.5, sparsity_pattern = '2:4'; if they do not change"
CUT = ("--ratio", "0.2", "--criterion", "l2")
QUICK = ("--shots", "2", "--set", "tune.epochs=1", "--set", "heal={texts: 2, length: 4, epochs: 1}")
SCORE = ("--tasks", "world_boolq", "--limit", "2")

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with attributes that no table knows."""
    directory = tmp_path_factory.mktemp("model") / "odd"
    shutil.copytree(world.model_path(), directory)
    path = directory / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "twist": 0.5, "sparsity_pattern": "2:4"}))
    return directory


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str | Path) -> tuple[int, str]:
        code = execute([str(word) for word in words])
        output = capsys.readouterr()
        return code, output.out if code == 0 else output.err

    return command


def test_every_verb_has_the_flag(odd: Path, tmp_path: Path, run: Run) -> None:
    small = tmp_path / "small"
    verbs: list[tuple[str | Path, ...]] = [
        ("plan", odd, "--out", tmp_path / "plan.json", *CUT),
        ("prune", odd, "--out", small, *CUT),
        ("heal", odd, "--teacher", odd, "--tasks", "world_boolq", "--out", tmp_path / "healed", *QUICK),
        ("tune", odd, "--task", "world_boolq", "--out", tmp_path / "tuned", "--prompt", "harness", *QUICK),
        ("evaluate", odd, *SCORE),
        ("measure", odd, "--config-only"),
        ("measure", odd, "--new", "2", "--length", "4", "--repeats", "1"),
        ("export", odd, "--out", tmp_path / "hf"),
        ("export", odd, "--to", "gguf", "--out", tmp_path / "odd.gguf"),
        ("prompts", "rank", odd, "world_boolq", "--shots", "2"),
    ]
    for words in verbs:
        code, output = run(*words)
        assert (code, REFUSAL in output) == (2, True), (words, output)
        assert f"{odd / 'config.json'}: " in output
        code, output = run(*words, *FLAGS)
        assert code == 0, (words, output)
    for name in ("small", "healed", "tuned", "hf"):  # none of the results needs it again
        assert run("measure", tmp_path / name, "--config-only", "--json")[0] == 0
    assert run("evaluate", tmp_path / "tuned", *SCORE)[0] == 0
    # Nor does the plan, or the model that a result is compared with.
    assert run("prune", odd, "--plan", tmp_path / "plan.json", "--out", tmp_path / "planned")[0] == 0
    words = ("heal", small, "--teacher", odd, "--tasks", "world_boolq", "--out", tmp_path / "again", *QUICK)
    assert run(*words)[0] == 0


def test_a_run_has_the_flag_and_the_key(odd: Path, tmp_path: Path, run: Run) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model: {odd}\ntasks: [world_boolq]\nprune: {{ratio: 0.2, criterion: l2}}\n"
        "heal: {texts: 2, length: 4, epochs: 1}\ntune: {shots: 2, epochs: 1, prompt: harness}\n"
        "evaluate: {limit: 2}\nexport: {formats: []}\n"
    )
    code, output = run("run", recipe, "--out", tmp_path / "run")
    assert (code, REFUSAL in output) == (2, True)
    assert not (tmp_path / "run").exists()
    assert run("run", recipe, "--out", tmp_path / "run", *FLAGS)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/manifest.json")}
    recipe.write_text(recipe.read_text() + "allow_config: [twist, sparsity_pattern]\n")
    assert run("run", recipe, "--out", tmp_path / "run")[0] == 0  # and nothing is computed again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run("report", tmp_path / "run", "--out", tmp_path / "page.html")[0] == 0
    sweep = ("--set", "sweep={prune.ratio: [0.1, 0.2]}", "--set", "heal=null")
    assert run("run", recipe, "--out", tmp_path / "sweep", *sweep)[0] == 0
    assert run("matrix", recipe, "--out", tmp_path / "matrix", "--set", "heal=null")[0] == 0
