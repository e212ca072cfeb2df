"""A step in micro-batches that fit into memory: smaller ones after an out-of-memory error."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from transformers import PreTrainedModel

from tailored_llama.machine import release
from tailored_llama.memory import out_of_memory
from tailored_llama.training.batches import Batch, micro_batches

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass
class MicroBatching:
    """Runs the micro-batches of steps with at most `limit` padded tokens each.

    After an out-of-memory error, the limit is halved for the rest of the training, and the step is repeated.
    The losses are means over a step, so its gradients do not depend on the limit (but for dropout).
    """

    limit: int
    branching: bool

    def split(self, step: Sequence[Batch]) -> list[Batch]:
        """The same sequences, in batches within the limit; one with a single shot stays as it is."""
        parts: list[Batch] = []
        for batch in step:
            if batch.ids.numel() <= self.limit or len(batch.shots) == 1:
                parts.append(batch)
                continue
            branching = self.branching and batch.kind == "shots"
            parts += micro_batches(batch.shots, batch.kind, branching=branching, limit=self.limit)
        return parts

    def run(
        self, model: PreTrainedModel, step: Sequence[Batch], work: Callable[[Sequence[Batch]], Result]
    ) -> Result:
        """`work` on the micro-batches of `step`; raises its out-of-memory error if they cannot be smaller."""
        while True:
            parts = self.split(step)
            result, error = _attempt(work, parts)
            if error is None:
                return result  # type: ignore[return-value]
            if all(len(part.shots) == 1 for part in parts):
                raise error
            largest = max(part.ids.numel() for part in parts if len(part.shots) > 1)
            self.limit = max(1, min(self.limit, largest) // 2)
            error.__traceback__ = None  # its frames hold the activations
            del error
            model.zero_grad()
            gc.collect()
            release()
            if model.device.type == "cuda":
                torch.cuda.empty_cache()
            logger.warning("out of memory: the step is repeated with micro-batches of %d tokens", self.limit)


def _attempt(
    work: Callable[[Sequence[Batch]], Result], parts: Sequence[Batch]
) -> tuple[Result | None, Exception | None]:
    """The result, or the out-of-memory error. Returned rather than handled where it is caught: within an
    `except` block, Python keeps the frames of the error, and with them the memory.
    """
    try:
        return work(parts), None
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None, error
