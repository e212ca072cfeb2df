"""What tuning minimises: one file a loss, found by its name in a recipe (`tune.loss`)."""

from __future__ import annotations

from tailored_llama.tune.losses import answer, choice, distill
from tailored_llama.tune.losses.registry import LOSSES, Loss

__all__ = ["LOSSES", "Loss", "answer", "choice", "distill"]
