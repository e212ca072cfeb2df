"""The command line: exit codes, one-line errors, and how flags become recipe keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.cli.options import assignments, layer_range, recipe_of
from tailored_llama.errors import RecipeError


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["prune"],
        ["run", "no-such-recipe", "--out", "x"],
        ["run", "demo", "--out", "x", "--ratio", "1.5"],
        ["run", "demo", "--out", "x", "--ratio", "half"],
        ["run", "demo", "--out", "x", "--set", "prune.ratoi=0.2"],
        ["run", "demo", "--out", "x", "--set", "nonsense"],
        ["run", "demo", "--out", "x", "--layers", "4-30"],
        ["tune", "world", "--out", "x"],
    ],
    ids=" ".join,
)
def test_what_the_user_can_mend_is_exit_code_2(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert execute(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    assert len(output.err.splitlines()) == 1 or not arguments
    assert not list(Path(str(tmp_path)).iterdir())


def test_help_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    assert "prune" in capsys.readouterr().out


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailored_llama.cli.options.recipe_of", interrupt)
    assert execute(["run", "demo", "--out", "x"]) == 130


def test_a_flag_beats_set_and_both_beat_the_base() -> None:
    recipe = recipe_of("demo", ["prune.ratio=0.3", "tune.epochs=2"], {"prune.ratio": 0.2, "seed": None})
    assert (recipe.prune.ratio, recipe.tune.epochs, recipe.seed) == (0.2, 2, 42)


def test_set_takes_yaml_values() -> None:
    assert assignments(["prune.layers=[1, 3]", "tune.learning_rate=1e-3"], {}) == [
        ("prune.layers", [1, 3]),
        ("tune.learning_rate", 1e-3),
    ]


def test_layers_are_start_and_end() -> None:
    assert layer_range("4:30") == [4, 30]
    with pytest.raises(RecipeError, match="START:END"):
        layer_range("4:")
