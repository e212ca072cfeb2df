"""General text for replay, and held-out shots for early stopping."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.errors import DataError
from tailored_llama.recipe import Calibration, EarlyStop, Tune
from tailored_llama.training.batches import Shot, windows

WINDOWS = 512
"""Maximum number of windows of general text; longer trainings repeat them."""


def held_count(settings: EarlyStop | None, shots: int) -> int:
    """Number of held-out shots for early stopping, at least one; 0 without `settings`.

    Raises DataError if no shot would be left for training.
    """
    if settings is None:
        return 0
    count = max(1, round(settings.share * shots))
    if count >= shots:
        raise DataError(
            f"tune.early_stop: {count} of {shots} shots held out leaves none to train on; "
            "use more shots or a smaller share"
        )
    return count


def hold_out(
    shots: Sequence[Shot], labels: Sequence[int], settings: EarlyStop | None, seed: int
) -> list[Shot]:
    """The `shots` to hold out for early stopping, balanced over `labels`; empty without `settings`."""
    count = held_count(settings, len(shots))
    by_label: dict[int, list[Shot]] = defaultdict(list)
    for shot, label in zip(shots, labels, strict=True):
        by_label[label].append(shot)
    for pool in by_label.values():
        random.Random(seed).shuffle(pool)
    held: list[Shot] = []
    while len(held) < count:
        for label in sorted(by_label):
            if by_label[label] and len(held) < count:
                held.append(by_label[label].pop())
    return held


def general_text(
    settings: Tune, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, seed: int, file: str | None
) -> list[Shot]:
    """Windows of the text that `tune.replay` names; empty without it. `file` replaces the hub's text."""
    replay = settings.replay
    if replay is None:
        return []
    steps = settings.epochs * math.ceil(settings.shots / settings.batch_size)
    replayed = settings.epochs * settings.shots * replay.share / (1 - replay.share)
    count = min(WINDOWS, max(steps, math.ceil(replayed)))
    # One token more than the window, because the last one is only predicted.
    length = min(replay.length + 1, int(config.max_position_embeddings))
    try:
        ids = calibration_tokens(
            Calibration(source=replay.source, samples=count, length=length), lambda: tokenizer,
            vocabulary=int(config.vocab_size), seed=seed, data={"c4": file} if file else None,
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"tune.replay: {error}") from None
    return windows(ids.tolist())
