"""Criteria, losses, formats and families in a folder of the user's: found by name, executed on use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailored_llama import plugins, use_plugins
from tailored_llama.errors import PluginError, RecipeError
from tailored_llama.plugins import (
    CRITERIA,
    FAMILIES,
    FORMATS,
    KINDS,
    LOSSES,
    VARIABLE,
    Kind,
    blame,
    names,
    plugins_kept,
)
from tailored_llama.recipe import Prune, load_recipe
from tailored_llama.stages.prune.criterion import criterion_named
from tests.support import ROOT
from tests.support.plugins import FILES, SPREAD, plugin_folder
from tools.plugin_tables import fill

SOURCE = "where it comes from"
NOISY = "raise RuntimeError('executed')"


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    with plugins_kept():
        yield


def folder_with(place: Path, **files: str) -> Path:
    """A plugin folder with these files: `criteria__name`."""
    for key, text in files.items():
        kind, name = key.split("__", 1)
        (place / kind).mkdir(parents=True, exist_ok=True)
        (place / kind / f"{name}.py").write_text(text)
    return place


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_every_file_of_the_package_defines_what_it_is_called(kind: Kind) -> None:
    assert len(plugins.bundled(kind)) >= 3
    for name in plugins.bundled(kind):
        assert plugins.load(kind, name, object) is plugins.load(kind, name, object)
        assert plugins.digest(kind, name) is None
        assert plugins.summary(kind, name)


def test_names_are_found_without_executing_anything(tmp_path: Path) -> None:
    place = folder_with(
        tmp_path, criteria__mine=NOISY, losses__mine=NOISY, formats__mine=NOISY, families__mine=NOISY,
        criteria___helper=NOISY,
    )  # fmt: skip
    (place / "criteria" / "notes.txt").write_text("")
    use_plugins(place)
    for kind in KINDS:
        assert set(names(kind)) == {*plugins.bundled(kind), "mine"}
        assert len(str(plugins.digest(kind, "mine"))) == 64


def test_a_recipe_is_checked_without_executing_anything(tmp_path: Path) -> None:
    use_plugins(folder_with(tmp_path, criteria__mine=NOISY, losses__mine=NOISY, formats__mine=NOISY))
    recipe = load_recipe(
        {
            "model": "x", "prune": {"criterion": "mine"}, "tune": {"loss": {"mine": 0.5, "answer": 1}},
            "export": {"formats": ["mine", "hf"]},
        }
    )  # fmt: skip
    assert recipe.prune.criterion == "mine"
    assert recipe.tune.loss == {"mine": 0.5, "answer": 1}
    with pytest.raises(RecipeError, match=r"prune.criterion: unknown criterion 'min' \(did you mean 'mine'"):
        load_recipe({"model": "x", "prune": {"criterion": "min"}})
    with pytest.raises(RecipeError, match=r"tune.loss: unknown loss 'min'.*distill, mine"):
        load_recipe({"model": "x", "tune": {"loss": "min"}})
    with pytest.raises(RecipeError, match=r"unknown export format 'min'.*gguf, hf, mine, onnx"):
        load_recipe({"model": "x", "export": {"formats": ["min"]}})
    use_plugins()
    with pytest.raises(RecipeError, match="unknown criterion 'mine'"):
        load_recipe(recipe.model_dump())


def test_folders_are_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = folder_with(tmp_path / "one", criteria__first=SPREAD)
    other = folder_with(tmp_path / "other", losses__second="")
    monkeypatch.setenv(VARIABLE, f"{one}:{other}")
    assert "first" in names(CRITERIA)
    assert "second" in names(LOSSES)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("mine", "def mine(:", r"criteria/mine\.py: SyntaxError: invalid syntax \(.*line 1\); correct"),
        ("mine", "import nothing_of_that_name", r"mine\.py, line 1: ModuleNotFoundError: No module named"),
        ("mine", "\n\nx = 1 / 0", r"mine\.py, line 3: ZeroDivisionError: division by zero"),
        ("mine", "from ._helper import x", r"mine\.py, line 1: ImportError"),
        ("mine", "raise SystemExit(3)", r"mine\.py, line 1: SystemExit: 3"),
        ("mine", "other = 1", r"a Criterion named mine, like its file; it is not defined"),
        ("mine", "def mine(matrix): ...", r"named mine, like its file; it is a function"),
        ("mine", "\0", r"mine\.py: \w+Error: "),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_with_file_and_reason(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    use_plugins(folder_with(tmp_path, **{f"criteria__{name}": text}))
    assert Prune(criterion=name).criterion == name
    with pytest.raises(PluginError, match=reason) as caught:
        criterion_named(name)
    assert "\n" not in str(caught.value)
    assert criterion_named("taylor").name == "taylor", "others are not concerned"


def test_folders_and_names_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="nowhere is not a directory"):
        use_plugins(tmp_path / "nowhere")
    with pytest.raises(PluginError, match="has none of the folders criteria, losses, formats, families"):
        use_plugins(tmp_path)
    for name in ("my criterion", "a.b", "-x"):
        with pytest.raises(PluginError, match="rename the file"):
            use_plugins(folder_with(tmp_path / name, **{f"criteria__{name}": ""}))


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("criteria__taylor", "the criterion taylor of tailored_llama"),
        ("criteria__Taylor", "the criterion taylor of tailored_llama"),
        ("losses__replay", "the loss replay of tailored_llama"),
        ("formats__gguf", "the export format gguf of tailored_llama"),
        ("families__llama", "the family llama of tailored_llama"),
    ],
)
def test_a_name_that_is_taken_is_refused(tmp_path: Path, key: str, other: str) -> None:
    with pytest.raises(PluginError, match=f"it has the same name as {other}"):
        use_plugins(folder_with(tmp_path, **{key: ""}))


def test_two_folders_with_the_same_name_are_refused(tmp_path: Path) -> None:
    one = folder_with(tmp_path / "one", formats__card="")
    other = folder_with(tmp_path / "other", formats__card="")
    with pytest.raises(PluginError, match=r"other/formats/card\.py: .*one/formats/card\.py; rename"):
        use_plugins(one, other)
    use_plugins(one, folder_with(tmp_path / "third", losses__card=""))
    assert "card" in names(FORMATS)


def test_what_has_the_digest_is_what_is_executed(tmp_path: Path) -> None:
    place = folder_with(tmp_path, criteria__spread=SPREAD)
    use_plugins(place)
    before = plugins.digest(CRITERIA, "spread")
    folder_with(tmp_path, criteria__spread=SPREAD.replace(SOURCE, "another"))
    assert plugins.digest(CRITERIA, "spread") == before
    assert criterion_named("spread").reference == SOURCE
    use_plugins(place)
    assert plugins.digest(CRITERIA, "spread") != before
    assert criterion_named("spread").reference == "another"


def test_an_error_in_a_plugins_code_names_it(tmp_path: Path) -> None:
    text = SPREAD.replace("return matrix.weight", "return matrix.wait")
    use_plugins(folder_with(tmp_path, criteria__spread=text))
    score = criterion_named("spread").matrix
    assert score is not None
    with pytest.raises(AttributeError) as caught:
        score(None)  # type: ignore[arg-type]
    assert "spread.py, line" in str(blame(caught.value))
    with pytest.raises(ZeroDivisionError) as ours:
        _ = 1 / 0
    assert blame(ours.value) is None


def test_a_family_has_the_name_of_its_file_and_of_transformers(tmp_path: Path) -> None:
    from tailored_llama.families import describe

    table = (plugin_folder(tmp_path / "good") / "families" / "cwm.py").read_text()
    use_plugins(folder_with(tmp_path / "renamed", families__gneiss=table.replace("CWM", "GNEISS")))
    with pytest.raises(PluginError, match="its table has the name 'cwm'; file and table have one name"):
        describe()
    table = table.replace("CWM", "GNEISS").replace('"cwm"', '"gneiss"')
    use_plugins(folder_with(tmp_path / "unknown", families__gneiss=table))
    with pytest.raises(PluginError, match=r"gneiss\.py: transformers has no model_type 'gneiss'"):
        describe()
    assert FAMILIES.folder == "families"


def test_the_page_has_an_example_of_each_kind() -> None:
    assert [path.split("/")[0] for path in FILES] == [kind.folder for kind in KINDS]


@pytest.mark.parametrize("name", ["reference/criteria.md", "reference/families.md", "guide/plugins.md"])
def test_the_tables_of_the_docs_are_fresh(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert "<!-- table: " in page
    assert fill(page) == page, "stale: make docs"
