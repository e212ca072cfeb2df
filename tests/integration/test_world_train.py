"""Training the world's model: the rate, and going on after a stop."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch

from tools.world.train import Settings, Trainer

SHORT = Settings(tokens=1200, chunk_documents=12, batch_tokens=256, warmup_tokens=100)


def test_the_rate_rises_stays_and_falls(tmp_path):
    trainer = Trainer(dataclasses.replace(SHORT, tokens=10_000), tmp_path, "cpu")
    rates = []
    for trainer.tokens in (0, 50, 100, 6_000, 8_000, 10_000):
        rates.append(trainer._rate() / trainer.settings.learning_rate)
    assert rates == pytest.approx([0, 0.5, 1, 1, 0.5, 0])


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    whole = Trainer(SHORT, tmp_path / "whole", "cpu")
    assert whole.run(minutes=float("inf"))
    first = Trainer(SHORT, tmp_path / "parts", "cpu")
    first._chunk()
    first.save()
    assert first.tokens < SHORT.tokens
    second = Trainer(SHORT, tmp_path / "parts", "cpu")
    assert second.chunk == 1
    assert second.run(minutes=float("inf"))
    for left, right in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(left, right)
    lines = (tmp_path / "parts" / "training.jsonl").read_text().splitlines()
    assert [json.loads(line)["chunk"] for line in lines] == list(range(1, len(lines) + 1))


def test_no_minutes_is_a_stop_and_other_settings_are_refused(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    trainer = Trainer(SHORT, tmp_path, "cpu")
    assert not trainer.run(minutes=-1)
    trainer._chunk()
    trainer.save()
    with pytest.raises(SystemExit, match="other settings"):
        Trainer(dataclasses.replace(SHORT, learning_rate=1.0), tmp_path, "cpu")
    longer = Trainer(dataclasses.replace(SHORT, tokens=90_000), tmp_path, "cpu")
    assert longer.tokens == trainer.tokens
