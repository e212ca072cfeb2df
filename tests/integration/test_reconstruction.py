"""Reconstruction on the bundled model: text that was not calibrated on is predicted better."""

from __future__ import annotations

import torch

from tailored_llama import checkpoint, prune
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.recipe import Calibration


def windows(samples: int, seed: int) -> torch.Tensor:
    """Of the world's training text; few enough of it that seeds hardly meet."""
    return calibration_tokens(
        Calibration(source="world", samples=samples),
        lambda: checkpoint.load_tokenizer("world"),
        vocabulary=int(checkpoint.load_config("world").vocab_size),
        seed=seed,
    )


def test_other_text_is_predicted_better() -> None:
    other, losses = windows(30, seed=7), {}
    for repaired in (False, True):
        model = prune(
            "world", ratio=0.4, reconstruct=repaired, calibration={"source": "world", "samples": 32}
        )
        with torch.no_grad():
            losses[repaired] = model(input_ids=other, labels=other).loss.item()
    assert losses[True] < 0.95 * losses[False]
