"""Measure: what models weigh by formula, decoding by the clock, and how medians and ratios are taken."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tailored_llama.cli import execute
from tailored_llama.errors import RecipeError
from tailored_llama.profiling import measure, speeds
from tailored_llama.profiling.greedy import Decoded, decode
from tests.support.pico import plain, saved, shaped, tokens
from tests.support.published import PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_from_a_config_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, params, macs = PUBLISHED[name]
    config.dtype = torch.float16
    config.to_json_file(tmp_path / "config.json")
    assert execute(["measure", str(tmp_path), "--config-only", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["params"], output["macs"], output["weights_bytes"]) == (params, macs, 2 * params)
    assert "speeds" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_bytes_are_those_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "Worker", Clock)
    models = [
        saved(plain(), tmp_path / "dense"), saved(shaped(tie_word_embeddings=True).half(), tmp_path / "cut")
    ]  # fmt: skip
    found = measure(models)["models"]
    for model, fact in zip((plain(), shaped(tie_word_embeddings=True).half()), found, strict=True):
        assert fact["weights_bytes"] == sum(p.numel() * p.element_size() for p in model.parameters())
        assert fact["params"] == sum(p.numel() for p in model.parameters())
    assert found[1]["ratios"]["weights_bytes"] == found[1]["weights_bytes"] / found[0]["weights_bytes"]


class Clock:
    """A worker that takes 1, 2, 3, ... seconds, counted over all of them, and tells who was asked."""

    turns: list[tuple[str, int]]
    ticks: Any

    def __init__(self, backend: str, name: str, place: Path, sizes: dict[str, int]) -> None:
        Clock.turns, Clock.ticks = [], count(1)
        self.name = name

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, batch: int) -> dict[str, Any]:
        Clock.turns.append((Path(self.name).name, batch))
        seconds = next(Clock.ticks)
        return {"dtype": "float32", "device": "cpu", **dict.fromkeys(speeds.RATES, seconds)}


def test_models_take_turns_and_medians_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "Worker", Clock)
    models = [saved(plain(), tmp_path / name) for name in ("a", "b")]
    found = measure(models, batches=[1, 4], repeats=3, out=tmp_path / "out")
    assert Clock.turns == [("a", 1), ("b", 1), ("a", 4), ("b", 4)] * 3
    one, four = found["models"][1]["speeds"]
    assert (one["batch"], one["decode_tokens_per_second"], one["peak_memory"]) == (1, 6, 10)
    assert (four["batch"], four["decode_tokens_per_second"]) == (4, 8)
    assert one["ratios"]["decode_tokens_per_second"] == 6 / 5
    assert json.loads((tmp_path / "out" / "measure.json").read_text()) == found.to_json()
    Clock.turns = []
    assert measure(models, batches=[1, 4], repeats=3, out=tmp_path / "out") == found
    assert not Clock.turns, "what is complete is not measured again"


def test_settings_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(saved(plain(), tmp_path / "model"))
    for arguments, message in (
        ([model, "--backend", "onnx"], "unknown backend 'onnx'; known: transformers, llama.cpp"),
        ([model, "--length", "1000000000"], "--length': Input should be less than or equal to 16777216"),
        ([model, "--new", "1000000000"], "--new': Input should be less than or equal to 16777216"),
        ([model, "--batch", "one"], "--batch 'one': write whole numbers"),
        ([model, "--batch", "0"], "must be at least 1"),
        ([model, "nowhere/at-all-x"], "nowhere"),
        ([model, "--backend", "llama.cpp", "--dtype", "q8_0"], "do not fit q8_0"),
    ):
        capsys.readouterr()
        assert execute(["measure", *arguments]) == 2
        output = capsys.readouterr()
        assert message in output.err
        assert len(output.err.splitlines()) == 1
        assert output.out == ""
    with pytest.raises(RecipeError, match="no model"):
        measure([])


@pytest.mark.parametrize("form", [plain, shaped])
def test_decoding_is_what_generate_does(form: Any) -> None:
    model, ids = form(), tokens(3, 7)
    model.generation_config.eos_token_id = None
    found = decode(model, ids, 12)
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(found.tokens, model.generate(ids, **options)[:, 7:])
    assert 0 < found.first < found.seconds


def test_one_row_ends_with_a_token_that_ends_it() -> None:
    model, ids = plain(), tokens(1, 5)
    whole = decode(model, ids, 10).tokens[0].tolist()
    stop = whole[3]
    assert decode(model, ids, 10, stop={stop}).tokens[0].tolist() == whole[: whole.index(stop) + 1]


def test_rates_count_the_tokens_after_the_first() -> None:
    tokens_of_two = torch.zeros(2, 5, dtype=torch.long)
    assert Decoded(tokens_of_two, first=1.0, seconds=3.0).decode_rate == 4.0
    assert Decoded(tokens_of_two[:, :1], first=1.0, seconds=1.0).decode_rate is None
