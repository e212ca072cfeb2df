"""How a loss becomes known by its name, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tailored_llama.data import Task
from tailored_llama.data.task import CHOICE_METRICS, Metric
from tailored_llama.errors import TuneError
from tailored_llama.recipe import Tune
from tailored_llama.training.batches import Batch

# Log-probabilities in fp32 nats at the batch's places, and the batch, to the loss summed over what it counts.
Sum = Callable[[Float[Tensor, "places vocab"], Batch], Float[Tensor, ""]]


@dataclass(frozen=True)
class Loss:
    """A sum over a batch, and what the trainer divides it by: the number of `per` in the whole step, so that
    cutting a step into micro-batches changes nothing.
    """

    sum: Sum
    per: Literal["answer", "questions", "reads"]
    choices: bool
    """Whether it reads the wrong choices too."""
    teacher: bool
    """Whether it needs a teacher's distributions."""


LOSSES: dict[str, Loss] = {}


def register(
    name: str,
    *,
    per: Literal["answer", "questions", "reads"],
    choices: bool = False,
    teacher: bool = False,
) -> Callable[[Sum], Sum]:
    """Decorator that makes a loss known to recipes as `name`."""

    def add(function: Sum) -> Sum:
        assert name not in LOSSES, name
        LOSSES[name] = Loss(function, per, choices, teacher)
        return function

    return add


def metric_of(task: Task, settings: Tune) -> Metric | None:
    """What the choices of `task` are compared by, where a loss reads all; TuneError where it has none."""
    if "choice" in settings.loss and task.metric not in CHOICE_METRICS:
        raise TuneError(
            f"tune.loss: choice ranks choices, but the answers of task {task.name} are written; "
            "use answer or distill"
        )
    return task.metric if any(LOSSES[name].choices for name in settings.loss) else None
