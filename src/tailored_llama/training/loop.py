"""The training loop: AdamW, cosine with warm-up, clipping, and a stop where the loss goes astray."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tailored_llama.errors import DivergedError, NotFiniteError, TuneError
from tailored_llama.progress import track
from tailored_llama.recipe import Tune
from tailored_llama.scoring import can_branch, not_finite
from tailored_llama.training.batches import Batch, Kind, Material, Shot, collate, epochs, micro_batches
from tailored_llama.training.cpu_kernels.lora_product import fused
from tailored_llama.training.forward import logprobs
from tailored_llama.training.loss import Loss, loss_named
from tailored_llama.training.precision import Precision, choose_precision

logger = logging.getLogger(__name__)
MAX_NORM = 1.0  # of all adapter gradients together
EXPLODED = 10.0  # times the first epoch's mean loss


@dataclass
class Watch:
    """Stops a run whose loss is not a number, or above EXPLODED times the first epoch's mean plus `slack`.

    `slack`, in nats, is for tasks whose answers are nearly certain from the start, where ten times nothing is
    nothing and one wrong answer in a step is no explosion: `fit` gives it what knowing nothing costs, the
    logarithm of the vocabulary. Within the first epoch its mean so far stands in; the first step has
    nothing to be compared with.
    """

    slack: float
    key: str = "tune"
    """Of the recipe, whose settings a message names."""
    first: list[float] = field(default_factory=list)

    def check(self, loss: float, epoch: int, step: int) -> None:
        """Raises DivergedError for a loss no step should follow; steps and epochs count from 1."""
        self.look(loss, step)
        if epoch == 1:
            self.first.append(loss)

    def look(self, loss: float, step: int) -> None:
        """The same of a loss that is only looked at."""
        if not math.isfinite(loss):
            raise self.stopped(step, f"the loss is {loss}")
        mean = sum(self.first) / len(self.first) if self.first else loss
        if loss > EXPLODED * mean + self.slack:
            raise self.stopped(step, f"the loss exploded from {mean:.3g} to {loss:.3g}")

    def stopped(self, step: int, why: str) -> DivergedError:
        """The error that says so, and what to do."""
        doing = {"tune": "tuning", "heal": "healing"}[self.key]
        return DivergedError(
            f"{doing} stopped at step {step}: {why}; lower {self.key}.learning_rate, or set "
            f"{self.key}.precision: fp32"
        )


@torch.enable_grad()  # whatever the caller has switched off
def fit(
    model: PreTrainedModel,
    material: Material,
    settings: Tune,
    *,
    seed: int,
    title: str = "tune",
    name: Callable[[Shot], str] = lambda shot: f"example {shot.choices[0].question + 1}",
) -> list[dict[str, Any]]:
    """Train the parameters of `model` that require a gradient, in place, on its own device.

    Returns one record a step: step, epoch, loss (nats; where there are several the weighted sum, and `parts`
    holds each one's mean), lr, tokens (read, padding not counted) and seconds since the start; with held-out
    shots the last step of an epoch has their `held_out` loss too, and the parameters are left as they were
    after the epoch where it was lowest. Dropout draws from torch's global generator.
    Raises DivergedError where the loss or a gradient is no longer finite, or the loss explodes (see Watch);
    NotFiniteError, with the `name` of the first such example, where the loss is not finite before any step.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=True)
    in_epoch = math.ceil(len(material.shots) / settings.batch_size)
    total = settings.epochs * in_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine_with_warmup(total, settings.warmup))
    precision = choose_precision(settings.precision, model.device)
    logger.info("%s: %d examples, %d steps, %s", title, len(material.shots), total, precision)

    terms, branching = terms_of(settings), can_branch(model)
    share = settings.replay.share if settings.replay else 0.0
    plan = epochs(
        material, settings.batch_size, settings.epochs, seed, share=share, branching=branching
    )  # fmt: skip
    held = micro_batches(material.held, branching=branching)
    best = Best(settings.early_stop.patience) if settings.early_stop and held else None
    history: list[dict[str, Any]] = []
    watch, started = Watch(math.log(model.config.vocab_size), title.split(maxsplit=1)[0]), time.perf_counter()
    model.train()
    with fused(model):
        for number, epoch, step in track(numbered(plan), title, total):
            parts = accumulate(model, step, terms, precision)
            loss = weighted(terms, parts)
            if number == 1 and not math.isfinite(loss):
                raise _untrained(model, material, precision, title, name)
            watch.check(loss, epoch, number)
            norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
            if not torch.isfinite(norm):
                raise watch.stopped(number, "a gradient is not finite")
            rate = schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            history.append(
                {
                    "step": number, "epoch": epoch, "loss": loss, "lr": rate,
                    "tokens": sum(batch.tokens for batch in step),
                    "seconds": round(time.perf_counter() - started, 3),
                }
            )  # fmt: skip
            if len(parts) > 1:
                history[-1]["parts"] = parts
            if best and number % in_epoch == 0:
                history[-1]["held_out"] = evaluated(model, held, terms, precision)
                watch.look(history[-1]["held_out"], number)
                if best.over(history[-1]["held_out"], parameters):
                    break
        if not best:  # what the last step made of the model, no step has looked at
            watch.look(evaluated(model, step, terms, precision), number)
    if best:
        best.restore(parameters)
    model.eval()
    return history


def _untrained(
    model: PreTrainedModel,
    material: Material,
    precision: Precision,
    title: str,
    name: Callable[[Shot], str],
) -> NotFiniteError:
    """The error for a model that gives no finite loss before it is trained, naming the first such example."""
    model.eval()
    with torch.no_grad():
        for shot in (*material.shots, *material.texts, *material.replay):
            batch = collate([shot], branching=can_branch(model)).to(model.device)
            if not bool(torch.isfinite(logprobs(model, batch, precision)).all()):
                return not_finite(
                    model, f"{title}, {name(shot)}", "the loss of the untrained model is not finite"
                )
    return not_finite(model, title, "the loss of the untrained model is not finite")


@dataclass
class Best:
    """The parameters of the epoch with the lowest held-out loss, and how many epochs ago that was."""

    patience: int
    loss: float = math.inf
    ago: int = 0
    values: list[Tensor] = field(default_factory=list)

    def over(self, loss: float, parameters: Sequence[Tensor]) -> bool:
        """Remember this epoch if it is the best; whether patience is at its end."""
        self.ago += 1
        if loss < self.loss:
            self.loss, self.ago = loss, 0
            self.values = [parameter.detach().clone() for parameter in parameters]
        return self.ago >= self.patience

    def restore(self, parameters: Sequence[Tensor]) -> None:
        """Put the best epoch's values back."""
        with torch.no_grad():
            for parameter, value in zip(parameters, self.values, strict=True):
                parameter.copy_(value)


def numbered(plan: Iterator[list[list[Batch]]]) -> Iterator[tuple[int, int, list[Batch]]]:
    """(step, epoch, micro-batches) from 1."""
    number = 0
    for epoch, steps in enumerate(plan, start=1):
        for step in steps:
            number += 1
            yield number, epoch, step


@dataclass(frozen=True)
class Term:
    """One part of what is minimised: a loss over batches of some kinds, and its weight."""

    name: str
    loss: Loss
    weight: float
    kinds: tuple[Kind, ...]


def terms_of(settings: Tune) -> list[Term]:
    """The recipe's losses over the shots, distillation over the teacher's texts too, and general text, whose
    every token is an answer, with its share of the whole.
    """
    share = settings.replay.share if settings.replay else 0.0
    losses = {name: loss_named(name) for name in settings.loss}
    terms = [
        Term(
            name, loss, (1 - share) * settings.loss[name], ("shots", "texts") if loss.teacher else ("shots",)
        )
        for name, loss in losses.items()
    ]
    return [*terms, Term("replay", loss_named("answer"), share, ("replay",))] if share else terms


def weighted(terms: Sequence[Term], parts: Mapping[str, float]) -> float:
    """What is minimised, from the mean of each of its parts."""
    return sum(term.weight * parts[term.name] for term in terms)


def accumulate(
    model: PreTrainedModel, step: Sequence[Batch], terms: Sequence[Term], precision: Precision
) -> dict[str, float]:
    """Add the gradients of one step, micro-batch by micro-batch; returns the mean of each term.

    A mean is over the whole step: of answer tokens, of questions or of tokens read, as the loss says.
    """
    counts = {
        term.name: sum(batch.counts[term.loss.per] for batch in step if batch.kind in term.kinds)
        for term in terms
    }
    totals = {term.name: torch.zeros((), device=model.device) for term in terms}
    for batch in step:
        moved = batch.to(model.device)
        values = logprobs(model, moved, precision)
        parts = {
            term: _sum(term, values, moved) / counts[term.name]
            for term in terms if batch.kind in term.kinds
        }  # fmt: skip
        for term, part in parts.items():
            totals[term.name] += part.detach()
        if torch.is_grad_enabled():
            sum(term.weight * part for term, part in parts.items()).backward()  # type: ignore[union-attr]
    return {name: total.item() for name, total in totals.items()}


def _sum(term: Term, logprobs: Tensor, batch: Batch) -> Tensor:
    """A term summed over a batch; TuneError where that is not one number: a plugin may give anything."""
    result = term.loss.sum(logprobs, batch)
    if not isinstance(result, Tensor) or result.ndim:
        shape = tuple(getattr(result, "shape", ()))
        raise TuneError(
            f"tune.loss: {term.name} gives {type(result).__name__} {shape}, not one sum; correct it"
        )
    return result


@torch.no_grad()
def evaluated(
    model: PreTrainedModel, batches: Sequence[Batch], terms: Sequence[Term], precision: Precision
) -> float:
    """The losses of the recipe on the shots among `batches`, without dropout."""
    model.eval()
    own = [term for term in terms if term.name != "replay"]
    loss = weighted(own, accumulate(model, [b for b in batches if b.kind == "shots"], own, precision))
    model.train()
    return loss


def cosine_with_warmup(steps: int, warmup: float) -> Any:
    """The factor on the learning rate after 0, 1, ... steps: a linear rise over the share `warmup` of all
    `steps`, ending at the full rate, then half a cosine (Loshchilov and Hutter 2017) towards zero.
    """
    rise = math.ceil(steps * warmup)

    def factor(done: int) -> float:
        if done < rise:
            return (done + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (done - rise) / max(1, steps - rise)))

    return factor
