"""What leaves the machine: no place on it is named, and no text of a stranger becomes markup."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from tailored_llama import export, prune, tune
from tailored_llama.checkpoint import hub_id, public_name, write_json
from tailored_llama.checkpoint.lineage import what_was_cut
from tailored_llama.stages.export.markdown import block, code, inline, table
from tailored_llama.world import model_path
from tests.support.exported import SHOTS, cut, tuned
from tests.support.pico import PLAIN_SIZES, plain, saved
from tests.support.results import figures
from tests.support.tuning import QUICK

ROWS = [
    "```\n# A title\n<script>alert(1)</script>", "~~~\n<img src=x onerror=alert(1)>",
    "a | b\n\n| c |\n| --- |", "</pre><b>", "`` ` ```", "[x](javascript:f()) ![y](http://z)",
    "&lt;b&gt; &amp;",    "\n\n    code\n---\n", "<!-- comment", "\\`\\<b>\\",
]  # fmt: skip


class _Read(HTMLParser):
    """The text of a page by element, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts[self.tags[-1]] = self.texts.get(self.tags[-1], "") + data


def rendered(markdown: str) -> _Read:
    return _Read(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pruned model, and an adapter of it whose rows each test writes."""
    folder = tmp_path_factory.mktemp("adapted")
    pruned = cut(folder, plain(), "someone/some-llama")
    return pruned, tuned(pruned, folder / "tuned")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("row", ROWS)
def test_a_row_in_the_card_is_text_whatever_it_holds(
    row: str, adapted: tuple[Path, Path], tmp_path: Path
) -> None:
    base_, adapter = adapted
    write_json(adapter / "shots.json", {**SHOTS, "example": {"context": row, "answer": " yes"}})
    text = (export(base_, adapter=adapter, out=tmp_path / "out") / "README.md").read_text()
    for raw in ("<script", "<img", "<b>", "<!--"):
        assert raw not in text
    page = rendered(text.split("---", 2)[2])
    assert page.texts["pre"].removeprefix("\n").startswith(f"{row} yes")
    assert not {"script", "img", "b", "a"} & set(page.tags) - {"img"}
    assert page.tags.count("h1") == 1
    assert page.texts["h2"].count("Tuning") == 1
    assert page.texts["h2"].strip().endswith("Reproduction"), "what follows is not swallowed"


@settings(max_examples=60, deadline=None)
@given(text=some.text("`<>|*_[]()!#-~&\\ \n\tab0", max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    flat = " ".join(text.split())
    for form, wanted in ((inline(text), flat), (code(text), flat or " ")):
        page = rendered(f"x{form}x")
        assert set(page.tags) <= {"p", "code", "em", "strong"}
        shown = "".join(page.texts.values()).strip("\n")
        assert "_" in flat or shown == f"x{wanted}x"  # an underscore may slant a word
    page = rendered(f"before\n\n{block(text)}\n\nafter")
    assert page.tags == ["p", "pre", "p"]
    rows = rendered(table(("a", text), [(text, 1)]))
    assert rows.tags.count("th") == rows.tags.count("td") == 2


@pytest.mark.usefixtures("undrawn")
def test_names_and_settings_of_a_stranger_are_text_as_well(tmp_path: Path) -> None:
    base_ = cut(tmp_path, plain(), "someone/some-llama")
    plan = json.loads((base_ / "plan.json").read_text())
    bad = "<script>alert(1)</script> | `x` \n# title"
    plan["settings"] = {"criterion": bad, "note": bad}
    write_json(base_ / "plan.json", plan)
    config = json.loads((base_ / "config.json").read_text())
    write_json(base_ / "config.json", {**config, "tokenizer_model_type": '")\nimport os #'})
    row = {
        "stage": "dense", "task_tuned": bad, "prompt": bad, "params": 1, "macs": 1, "mean": 0.5,
        "chance": 0.5, "tasks": {bad: figures(0.5)}, "seconds": 1.0, "peak_memory": 1,
        "perplexity": {f"{tmp_path}/text.txt": {"perplexity": 2, "length": 8}},
    }  # fmt: skip
    out = export(base_, out=tmp_path / "out", results={"rows": [row]})
    text = (out / "README.md").read_text()
    assert "<script" not in text
    assert "import os" not in text
    assert str(tmp_path) not in text
    page = rendered(text.split("---", 2)[2])
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    assert "perplexity, text.txt" in page.texts["th"]


def places_in(directory: Path, place: Path) -> list[str]:
    return [
        path.name
        for path in directory.rglob("*")
        if path.is_file() and str(place).encode() in path.read_bytes()
    ]


def test_an_adapter_names_its_base_by_digest(
    base: Path, data: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    elsewhere = shutil.copytree(base, tmp_path / "author" / "secret-project")
    outs = [
        tune(model, task="boolq", data=data, out=tmp_path / name, merge=False, **QUICK)
        for name, model in (("one", base), ("two", elsewhere))
    ]
    one, two = ((out / "adapter" / "adapter_config.json").read_bytes() for out in outs)
    assert one == two, "wherever the base lies"
    digest = json.loads((outs[0] / "adapter" / "base.json").read_text())["weights"]
    assert json.loads(one)["base_model_name_or_path"] == f"sha256:{digest}"
    assert places_in(outs[0], tmp_path) == []
    assert places_in(outs[1], tmp_path) == []
    assert places_in(outs[0], base) == []


def test_a_cut_model_says_what_it_was_without_the_place(tmp_path: Path) -> None:
    dense = saved(plain(), tmp_path / "dense")
    (dense / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# Dense\n")
    small = prune(dense, ratio=0.3, criterion="l2", units=("hidden", "mlp"), out=tmp_path / "small")
    again = prune(small, ratio=0.2, criterion="l2", out=tmp_path / "again")
    (tmp_path / "dense").rename(tmp_path / "gone")
    for directory in (small, again):
        assert places_in(Path(str(directory)), tmp_path) == []
        source = what_was_cut(str(directory))["source"]
        assert source["model"] == "dense"
        assert source["hidden"] == PLAIN_SIZES["hidden_size"]
    out = export(str(again), out=tmp_path / "out")
    assert places_in(out, tmp_path) == []
    text = (out / "README.md").read_text()
    assert "license: apache-2.0" in text
    assert f"of {PLAIN_SIZES['hidden_size']}." in text
    assert f"of {PLAIN_SIZES['intermediate_size']} channels](layers.png)" in text


def test_models_have_public_names(tmp_path: Path) -> None:
    cached = "/home/me/.cache/huggingface/hub/models--some--llama/snapshots/0123"
    assert public_name(cached) == hub_id(cached) == "some/llama"
    assert public_name("some/llama") == hub_id("some/llama") == "some/llama"
    assert public_name(str(model_path())) == public_name("world") == "world"
    assert public_name(tmp_path) == tmp_path.name
    assert hub_id(tmp_path) is hub_id("world") is None
