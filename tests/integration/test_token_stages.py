"""Whole stages with tokenizers that put tokens behind a text, or have more tokens than the model."""

from __future__ import annotations

import json
from pathlib import Path

from tailored_llama import evaluate, export, heal, prune, tune
from tailored_llama.play.models import Player
from tailored_llama.recipe import Heal, Tune
from tests.support.pico import saved, worded
from tests.support.tasks import TEXT, choice_task, written_task
from tests.support.tokenizers import around, extended, tokenizer


def test_tuning_starts_where_it_does_without_an_end(tmp_path: Path) -> None:
    own = choice_task(tmp_path / "own")
    losses = []
    for name, words in (("end", around("<s>", "</s>")), ("plain", tokenizer())):
        saved(worded(), tmp_path / name, words)
        out = tune(
            tmp_path / name, task=own, shots=4, prompt="plain", epochs=1, out=tmp_path / f"{name}-tuned"
        )
        history = (Path(str(out)) / "history.jsonl").read_text().splitlines()
        losses.append(json.loads(history[0])["loss"])
    assert losses[0] == losses[1]


def test_tokens_that_no_text_uses_do_no_harm(tmp_path: Path) -> None:
    model = saved(worded(), tmp_path / "model", extended())
    choice, written = choice_task(tmp_path / "choice"), written_task(tmp_path / "written")
    (tmp_path / "text.txt").write_text(TEXT * 20)
    row = evaluate(
        model, tasks=[choice, written], prompt="plain", perplexity=[str(tmp_path / "text.txt")], length=16
    )
    assert set(row["tasks"]) == {"choice", "own"}
    cut = prune(
        model, ratio=0.1, calibration={"source": str(tmp_path / "text.txt"), "samples": 2, "length": 16},
        out=tmp_path / "cut",
    )  # fmt: skip
    healed = heal(
        cut, teacher=model, tasks=[choice], out=tmp_path / "healed",
        settings=Heal(texts=4, length=4, epochs=1), shots=Tune(shots=4, prompt="plain"),
    )  # fmt: skip
    tune(healed, task=written, shots=4, prompt="plain", epochs=1, out=tmp_path / "tuned")
    for to in ("hf", "gguf"):
        export(tmp_path / "tuned", to=to, out=tmp_path / to)
    player = Player("pico", worded(), extended())
    assert player.answer(TEXT, 3).tokens
