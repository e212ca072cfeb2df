"""What a loss is. Each is a file of the folder losses/, or of a plugin folder (see `plugins`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tailored_llama.data import Task
from tailored_llama.data.task import CHOICE_METRICS, Metric
from tailored_llama.errors import TuneError
from tailored_llama.plugins import LOSSES, load
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
    ranks: bool
    """Whether it compares choices, and so needs a task that has them."""
    teacher: bool
    """Whether it needs a teacher's distributions; then it is summed over the teacher's texts as well."""


def loss(
    *,
    per: Literal["answer", "questions", "reads"],
    choices: bool = False,
    ranks: bool = False,
    teacher: bool = False,
) -> Callable[[Sum], Loss]:
    """Decorator that makes a loss of a sum over a batch."""
    return lambda function: Loss(function, per, choices or ranks, ranks, teacher)


def loss_named(name: str) -> Loss:
    """The loss of that name; the recipe has checked it. Raises PluginError."""
    return load(LOSSES, name, Loss)


def metric_of(task: Task, settings: Tune) -> Metric | None:
    """What the choices of `task` are compared by, where a loss reads all; TuneError if it has none."""
    losses = {name: loss_named(name) for name in settings.loss}
    ranking = [name for name, loss in losses.items() if loss.ranks]
    if ranking and task.metric not in CHOICE_METRICS:
        raise TuneError(
            f"tune.loss: {ranking[0]} ranks choices, but the answers of task {task.name} are written; "
            "use answer or distill"
        )
    return task.metric if any(loss.choices for loss in losses.values()) else None


def teaching(settings: Tune) -> str | None:
    """The first of the losses that needs a teacher; None if none does."""
    return next((name for name in settings.loss if loss_named(name).teacher), None)
