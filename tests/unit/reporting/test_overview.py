"""The page over many runs: the table that sorts, the pictures, and speeds found by digest."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.reporting import overview, report
from tailored_llama.reporting.read import read_all
from tailored_llama.results import MeasuredModel, Measurement, MeasureSettings, Speed
from tailored_llama.stage.manifest import Manifest, write_manifest
from tests.support.reports import Page, results, text_of


def speed(backend: str, rate: float, memory: int) -> Speed:
    return Speed(
        backend=backend, dtype="f16", batch=1, device="cpu", first_token_seconds=0.5, peak_memory=memory,
        prefill_tokens_per_second=100.0, decode_tokens_per_second=rate,
    )  # fmt: skip


def measured(digest: str, *speeds: Speed) -> MeasuredModel:
    return MeasuredModel(
        model="m", digest=digest, family="llama", params=1, macs=1, weights_bytes=1, speeds=list(speeds)
    )


@pytest.fixture
def runs(run: Path, tmp_path: Path) -> list[Path]:
    """Two runs that differ in what they cut, and the speeds of their models."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    content = results().to_json()
    for row in content["rows"]:
        if row["stage"] in ("pruned", "tuned"):
            row["params"], row["mean"] = 500_000, row["mean"] - 0.1
    (other / "results.json").write_text(json.dumps(content))
    for place, name in ((run, "a"), (other, "b")):
        for base, digest in (("dense", "d"), ("pruned", name)):
            folder = place / f"evaluate-{base}-same"
            folder.mkdir()
            manifest = Manifest(
                stage="evaluate", settings={}, inputs={"model": digest}, outputs={}, versions={}, seed=None,
                seconds=1.0,
            )  # fmt: skip
            write_manifest(folder, manifest)
    models = [
        measured("d", speed("llama.cpp", 100.0, 2**30), speed("transformers", 10.0, 2**31)),
        measured("a", speed("llama.cpp", 150.0, 2**29), speed("transformers", 12.0, 2**30)),
        measured("b", speed("llama.cpp", 250.0, 2**28), speed("transformers", 20.0, 2**29)),
        measured("never seen", speed("other", 1.0, 1)),
    ]
    settings = MeasureSettings(
        models=["m"] * 4, length=64, new=32, batches=[1], backends=["llama.cpp"], dtype="f16", repeats=5,
        threads=None, config_only=False,
    )  # fmt: skip
    whole = Measurement(models=models, settings=settings, versions={})
    (tmp_path / "speeds").mkdir()
    (tmp_path / "speeds" / "measure.json").write_text(json.dumps(whole.to_json()))
    return [run, other, tmp_path / "speeds"]


def test_speeds_belong_to_a_runs_models_by_digest(runs: list[Path]) -> None:
    found, measured = read_all(runs)
    lines = overview.lines([(r.directory.name, "x", r) for r in found], measured)
    llama, stock = overview.ways(lines)
    assert (llama, stock) == (("llama.cpp", "f16", 1), ("transformers", "f16", 1))
    assert [line.speed_up(llama) for line in lines] == [1.5, 2.5]
    assert [line.left for line in lines] == [0.4, 0.25]
    by_stage = {point.stage: point for point in lines[1].points()}
    assert by_stage["tuned"].speeds == by_stage["pruned"].speeds, "a merged adapter changes no shape"
    assert by_stage["dense_tuned"].left == 1.0


def test_the_page_has_a_table_that_sorts_and_the_pictures(runs: list[Path], tmp_path: Path) -> None:
    page = report(runs, tmp_path / "all.html").read_text()
    parsed = Page(page)
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert all(address.startswith("#") for address in parsed.addresses)
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert "run, pruned: 55 with 40% left" in labels[0]
    assert "other, pruned, tuned: 71 at 4.00 ms a token and 256 MiB" in labels[1]
    assert "transformers f16, batch 1" in labels[2]
    (row,) = re.findall(r'<tr><th scope="row" data-value="other">.*?</tr>', page, re.DOTALL)
    values = re.findall(r'data-value="([^"]*)"', row)
    assert values[:4] == ["other", "taylor", "500000", "0.25"]
    assert [float(value) for value in values[12:15]] == [250.0, 2.5, 2**28]
    output = text_of(page)
    assert "2 runs" in output
    assert "2.50×" in output
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://www.w3.org", "")


@pytest.mark.usefixtures("undrawn")
def test_runs_without_speeds_say_how_to_get_them(runs: list[Path], tmp_path: Path) -> None:
    whole = report(runs[:2], tmp_path / "all.html").read_text()
    parsed, page = Page(whole), text_of(whole)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert "2 runs" in page
    assert "tailor measure DENSE PRUNED" in page
    assert "Accuracy and what it costs" in page


@pytest.mark.usefixtures("undrawn")
def test_one_run_with_speeds_has_them_too(runs: list[Path], tmp_path: Path) -> None:
    page = text_of(report([runs[0], runs[2]], tmp_path / "all.html").read_text())
    assert "1.50×" in page
    assert "2 runs" not in page


def test_speeds_alone_are_no_report(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["report", str(runs[2]), "--out", str(tmp_path / "all.html")]) == 2
    assert "no run directory to report on" in capsys.readouterr().err
    assert not (tmp_path / "all.html").exists()
