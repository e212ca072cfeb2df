"""The card's picture and recipe, and the hub, which only an explicit flag reaches."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import export, prune
from tailored_llama.checkpoint import write_json
from tailored_llama.checkpoint.lineage import layers_before_and_after
from tailored_llama.cli import execute
from tailored_llama.families import LayerWidths
from tailored_llama.recipe import load_recipe
from tailored_llama.results import Cut, PlanSource
from tailored_llama.stages.export import hub
from tests.support.exported import cut, tuned
from tests.support.pico import PLAIN_SIZES, layered, plain, saved, shaped
from tests.support.results import assembled, row
from tests.support.tokenizers import byte_level

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_picture_shows_what_was_kept_of_every_layer(tmp_path: Path) -> None:
    base = cut(tmp_path, shaped(), "someone/some-llama")
    out = export(base, out=tmp_path / "out")
    assert (out / "layers.png").read_bytes().startswith(PNG)
    (described,) = re.findall(r"!\[(.*?)\]\(layers\.png\)", (out / "README.md").read_text())
    assert described.startswith("layer 0: 4 of 4 heads, 24 of 24 channels; layer 1: 2 of 4 heads, 5 of 24")
    again = export(base, out=tmp_path / "again")
    assert (again / "layers.png").read_bytes() == (out / "layers.png").read_bytes()


def test_without_a_cut_there_is_no_picture(tmp_path: Path) -> None:
    out = export(saved(plain(), tmp_path / "base"), out=tmp_path / "out")
    assert not (out / "layers.png").exists()
    assert "layers.png" not in (out / "README.md").read_text()


def test_whole_layers_that_went_stand_in_the_picture_as_nothing(tmp_path: Path) -> None:
    dense = saved(plain(), tmp_path / "dense")
    config = plain(num_hidden_layers=2, intermediate_size=10).config
    plan = Cut(source=PlanSource(model=str(dense)), kept={"layers": [0, 2]})
    before, after = layers_before_and_after(plan, config) or ([], [])
    whole = LayerWidths(4, 2, PLAIN_SIZES["intermediate_size"])
    assert before == [whole] * 3
    assert after == [LayerWidths(4, 2, 10), LayerWidths(0, 0, 0), LayerWidths(4, 2, 10)]
    plan = Cut(source=plan.source)
    assert layers_before_and_after(plan, config) is None, "two layers are not what is left of three"


def test_a_card_says_how_its_own_form_is_loaded(tmp_path: Path) -> None:
    layered([LayerWidths(4, 2, 64)]).save_pretrained(tmp_path / "base")
    byte_level(tmp_path / "base")
    text = (export(tmp_path / "base", to="gguf", out=tmp_path / "out") / "README.md").read_text()
    assert "llama.cpp loads the `.gguf` file" in text
    assert "from_pretrained" not in text


def recipe_of(out: Path) -> dict[str, Any]:
    text = (out / "README.md").read_text()
    found: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    return found


@pytest.mark.usefixtures("undrawn")
def test_the_recipe_in_the_card_is_the_runs(tmp_path: Path) -> None:
    base = cut(tmp_path, shaped(), "someone/some-llama")
    data = tmp_path / "rows"
    data.mkdir()
    recipe = load_recipe({"model": "someone/some-llama", "tasks": ["boolq"], "data": {"boolq": str(data)}})
    results = assembled([row("dense", {"boolq": 0.5})], recipe)
    out = export(base, out=tmp_path / "out", results=results)
    given = recipe_of(out)
    assert load_recipe(given) == load_recipe({**recipe.model_dump(), "data": {"boolq": "rows"}})
    assert str(tmp_path) not in (out / "README.md").read_text()


@pytest.mark.usefixtures("undrawn")
def test_without_a_run_the_plan_and_the_shots_give_the_recipe(tmp_path: Path) -> None:
    base = cut(tmp_path, shaped(), "someone/some-llama")
    plan = json.loads((base / "plan.json").read_text())
    plan["settings"] = {"ratio": 0.25, "criterion": "l2", "seed": 7}
    write_json(base / "plan.json", plan)
    given = load_recipe(
        recipe_of(export(base, adapter=tuned(base, tmp_path / "tuned"), out=tmp_path / "out"))
    )
    assert (given.model, given.seed, given.tasks) == ("someone/some-llama", 7, ("boolq",))
    assert (given.prune.ratio, given.prune.criterion) == (0.25, "l2")
    assert (given.tune.shots, given.tune.prompt) == (3, "cloze")


class Hub:
    """Stands in for HfApi: remembers what it was told."""

    record: list[tuple[Any, ...]]

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
        Hub.record.append(("create", name, private, exist_ok))
        return f"https://hub/{name}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        Hub.record.append(("folder", repo_id, sorted(path.name for path in folder_path.iterdir())))

    def upload_file(
        self, *, repo_id: str, path_or_fileobj: Path, path_in_repo: str, commit_message: str
    ) -> None:
        Hub.record.append(("file", repo_id, path_in_repo, path_or_fileobj.read_bytes()[:4]))


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    Hub.record = []
    monkeypatch.setattr(hub, "HfApi", Hub)
    return Hub.record


def test_only_the_flag_reaches_the_hub(tmp_path: Path, record: list[tuple[Any, ...]]) -> None:
    base = str(saved(plain(), tmp_path / "base"))
    out = str(tmp_path / "out")
    assert execute(["export", base, "--out", out]) == 0
    assert record == []
    assert execute(["export", base, "--out", out, "--push-to-hub", "me/mine"]) == 0
    files = ["README.md", "config.json", "generation_config.json", "manifest.json", "model.safetensors"]
    assert record == [("create", "me/mine", True, True), ("folder", "me/mine", files)]


def test_a_name_the_hub_would_refuse_is_said_first(
    tmp_path: Path, record: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(saved(plain(), tmp_path / "base"))
    capsys.readouterr()
    assert execute(["export", base, "--out", str(tmp_path / "out"), "--push-to-hub", "a/b/c"]) == 2
    output = capsys.readouterr()
    assert "write it as user/model" in output.err
    assert len(output.err.splitlines()) == 1
    assert record == []
    assert not (tmp_path / "out").exists()


def test_offline_the_export_stays_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(saved(plain(), tmp_path / "base"))
    capsys.readouterr()
    assert execute(["export", base, "--out", str(tmp_path / "out"), "--push-to-hub", "me/mine"]) == 2
    output = capsys.readouterr()
    assert "is exported, but was not pushed to me/mine" in output.err
    assert len(output.err.splitlines()) == 1
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.usefixtures("undrawn")
def test_what_is_left_of_the_residual_stream_is_said(tmp_path: Path) -> None:
    dense = saved(plain(), tmp_path / "dense")
    small = prune(dense, ratio=0.3, criterion="l2", units=("hidden",), out=tmp_path / "small")
    left = json.loads((small / "config.json").read_text())["hidden_size"]
    card = (export(small, out=tmp_path / "out") / "README.md").read_text()
    assert f"\n\nResidual channels: {left} of {PLAIN_SIZES['hidden_size']}.\n" in card
    assert "Residual" not in (export(dense, out=tmp_path / "whole") / "README.md").read_text()
