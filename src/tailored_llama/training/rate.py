"""A check of the learning rate."""

from __future__ import annotations

import logging

from tailored_llama.progress import note_once

logger = logging.getLogger(__name__)


def warn_of_rate(section: str, rate: float) -> None:
    """One warning for a learning rate with which AdamW destroys a model: it moves each weight by about it."""
    if rate > 1:
        note_once(
            logger, f"{section}.learning_rate: {rate:g} is above 1 and will diverge; usual is 1e-5 to 1e-2"
        )
