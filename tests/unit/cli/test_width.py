"""Every table of the command line at 80 and 60 columns: no figure is cut, no line is longer."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console, RenderableType

from tailored_llama.cli import execute
from tailored_llama.profiling.tables import tables as measured_tables
from tailored_llama.reporting import sweep, sweep_tables, tables
from tailored_llama.reporting.cross_task_page import matrix_tables
from tailored_llama.reporting.rankings import ranking_tables
from tailored_llama.results import (
    STAGES,
    Effectiveness,
    MatrixResults,
    MeasuredModel,
    Measurement,
    MeasureSettings,
    PromptRanking,
    SizeRatios,
    Specificity,
    Speed,
    SpeedRatios,
    SweepResults,
    TaskFigures,
    results_of,
)
from tests.support.results import corpus, row
from tests.support.results import figures as made

WIDTHS = (80, 60)
LONG = "a_task_of_a_user_with_a_name_that_is_longer_than_a_terminal_leaves_room_for"
NAMES = ["world_boolq", "world_hellaswag", "world_arc_challenge", "world_winogrande", LONG]


def printed(made: Callable[[int], Sequence[RenderableType]], width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    for table in made(width):
        console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    return text


@pytest.mark.parametrize("width", WIDTHS)
def test_run_and_evaluate(width: int) -> None:
    rows = [
        row(
            stage, dict.fromkeys(NAMES, 1.0), task_tuned=None, prompt="same", params=123_000_000,
            macs=123_000_000, mean=1.0, seconds=12345.0, peak_memory=2**34,
            perplexity={"wikitext2@2048": corpus(123456.78)},
        )
        for stage in STAGES
    ]  # fmt: skip
    whole, alone = results_of(rows, {}, {}), results_of(rows[:1], {}, {}, relative=False)
    text = printed(lambda columns: tables(whole, columns), width)
    assert text.count("123456.78") == text.count("123 M") // 2 == len(STAGES)
    assert text.count("100.0%") >= len(STAGES)
    assert "123456.78" in printed(lambda columns: tables(alone, columns), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_measure(width: int) -> None:
    rates = SpeedRatios(
        first_token_seconds=1.0, prefill_tokens_per_second=99.25, decode_tokens_per_second=88.75,
        peak_memory=1.0,
    )  # fmt: skip
    speed = Speed(
        backend="llama.cpp", dtype="f16", batch=128, device="cpu", first_token_seconds=98.7654,
        prefill_tokens_per_second=123456.0, decode_tokens_per_second=65432.1, peak_memory=2**34, ratios=rates,
    )  # fmt: skip
    model = MeasuredModel(
        model=f"/somewhere/{LONG}/{LONG}", digest=None, family="llama", params=123_000_000, macs=456_000_000,
        weights_bytes=2**33, speeds=[speed], ratios=SizeRatios(params=1.0, macs=1.0, weights_bytes=1.0),
    )  # fmt: skip
    settings = MeasureSettings(
        models=["m"], length=64, new=32, batches=[128], backends=["llama.cpp"], dtype="f16", repeats=5,
        threads=None, config_only=False,
    )  # fmt: skip
    found = Measurement(models=[model, model], settings=settings, versions={})
    text = printed(lambda columns: measured_tables(found, columns), width)
    for figure in ("123 M", "456 M", "8 GiB", "100.0%", "98765.4 ms", "123456 (99.25x)", "65432.1 (88.75x)"):
        assert text.count(figure) == 2, figure
    assert text.count("16 GiB") == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_matrix(width: int) -> None:
    rows = ["untuned", *NAMES, "general"]
    found = MatrixResults(
        columns=NAMES, tuned_in={}, means=dict.fromkeys(rows, 0.875), diagonal=1.0, beside=1.0, general={},
        cells={name: {column: TaskFigures(**made(1.0)) for column in NAMES} for name in rows},
    )  # fmt: skip
    text = printed(lambda columns: matrix_tables(found, columns), width)
    assert len(re.findall(r"(?<![\d.])\*?100\.0(?!%)", text)) == len(rows) * len(NAMES)
    assert text.count("87.5") - text.count("87.5%") == len(rows)


@pytest.mark.parametrize("width", WIDTHS)
def test_prompts_rank(width: int) -> None:
    entries = [
        Effectiveness(
            prompt=f"{name}_{LONG}", accuracy=1.0, margin=-0.125, accuracy_interval=(0.25, 0.75),
            margin_interval=(-0.5, 0.5), first=0.625,
        )
        for name in "ab"
    ]  # fmt: skip
    specific = [
        Specificity(prompt="a", own=1.125, others=-1.25, specificity=2.375, specificity_interval=(-2.0, 2.0))
    ]
    found = PromptRanking(task=LONG, compared="tuned", wordings=entries, held_out=0.5, specificity=specific)
    text = printed(lambda columns: ranking_tables(found, columns), width)
    for figure in ("100.0%", "25.0 to 75.0", "-0.125", "-0.500 to +0.500", "62.5%"):
        assert text.count(figure) == 2, figure
    assert "-2.000 to +2.000" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_sweep(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    widest = "100.0 (100.0 to 100.0)"
    monkeypatch.setattr(sweep, "line", lambda _: [LONG, *[widest] * (len(sweep.COLUMNS) - 1)])
    document = SweepResults.model_construct(settings=[None, None], failed={}, cells=[])
    text = printed(lambda columns: sweep_tables(document, columns), width)
    assert text.count(widest) == 2 * (len(sweep.NARROW) - 1)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verb", ["families", "criteria", "losses", "formats", "tasks"])
def test_what_there_is(
    verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal folds a line; what another program reads is a line a row."""
    assert execute([verb]) == 0
    rows = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert execute([verb]) == 0
    folded = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in folded
    assert max(map(len, folded.splitlines())) <= width
    assert sorted("".join(folded.split())) == sorted("".join(" ".join(rows).split()))
