"""What tuning minimises: one file a loss, found by its name in a recipe (`tune.loss`)."""

from __future__ import annotations

from tailored_llama.training.losses import answer, choice, distill
from tailored_llama.training.losses.registry import LOSSES, Loss, metric_of

__all__ = ["LOSSES", "Loss", "answer", "choice", "distill", "metric_of"]
