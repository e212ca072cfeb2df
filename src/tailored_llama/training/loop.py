"""The training loop: AdamW, cosine schedule with warm-up, gradient clipping, and a stop if the loss
diverges.
"""

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
from tailored_llama.results import TrainingStep
from tailored_llama.scoring import can_branch, not_finite
from tailored_llama.training.batches import Batch, Kind, Material, Shot, collate, micro_batches
from tailored_llama.training.cpu_kernels.lora_product import fused
from tailored_llama.training.epochs import epochs
from tailored_llama.training.forward import logprobs, recomputed
from tailored_llama.training.loss import Loss, loss_named
from tailored_llama.training.micro_batching import MicroBatching
from tailored_llama.training.precision import Precision, choose_precision
from tailored_llama.training.rate import warn_of_rate

logger = logging.getLogger(__name__)
MAX_NORM = 1.0  # of all adapter gradients together
EXPLODED = 10.0  # times the first epoch's mean loss


@dataclass
class Watch:
    """Stops training if the loss is not finite, or exceeds EXPLODED times the first epoch's mean plus
    `slack`.

    `slack`, in nats, is for tasks whose initial loss is close to zero, where one wrong answer in a step would
    exceed ten times the mean. `fit` uses the loss of uniform predictions, the logarithm of the vocabulary
    size. During the first epoch its running mean is used; the first step has no reference.
    """

    slack: float
    key: str = "tune"
    """Section of the recipe whose settings a message names."""
    first: list[float] = field(default_factory=list)

    def check(self, loss: float, epoch: int, step: int) -> None:
        """Raises DivergedError if training must not continue with this loss; steps and epochs count
        from 1.
        """
        self.look(loss, step)
        if epoch == 1:
            self.first.append(loss)

    def look(self, loss: float, step: int) -> None:
        """The same check for a loss that does not count for the mean."""
        if not math.isfinite(loss):
            raise self.stopped(step, f"the loss is {loss}")
        mean = sum(self.first) / len(self.first) if self.first else loss
        if loss > EXPLODED * mean + self.slack:
            raise self.stopped(step, f"the loss exploded from {mean:.3g} to {loss:.3g}")

    def stopped(self, step: int, why: str) -> DivergedError:
        """The error, with the settings to change."""
        doing = {"tune": "tuning", "heal": "healing"}[self.key]
        return DivergedError(
            f"{doing} stopped at step {step}: {why}; lower {self.key}.learning_rate, or set "
            f"{self.key}.precision: fp32"
        )


@torch.enable_grad()  # even if the caller disabled gradients
def fit(
    model: PreTrainedModel,
    material: Material,
    settings: Tune,
    *,
    seed: int,
    title: str = "tune",
    name: Callable[[Shot], str] = lambda shot: f"example {shot.choices[0].question + 1}",
) -> list[TrainingStep]:
    """Train the parameters of `model` that require a gradient, in place, on its device.

    Returns one record per step: step, epoch, loss (nats; the weighted sum of several losses, whose means are
    in `parts`), lr, tokens (without padding) and seconds since the start. With held-out shots, the last step
    of an epoch also has their `held_out` loss, and the parameters of the epoch with the lowest one are
    restored at the end. Dropout draws from torch's global generator. Raises DivergedError if the loss or a
    gradient is no longer finite, or the loss explodes (see Watch); NotFiniteError, with the `name` of the
    first such example, if the loss is not finite before the first step.
    """
    warn_of_rate(title.split(maxsplit=1)[0], settings.learning_rate)
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
    history: list[TrainingStep] = []
    micro = MicroBatching(settings.micro_tokens, branching)
    watch, started = Watch(math.log(model.config.vocab_size), title.split(maxsplit=1)[0]), time.perf_counter()
    model.train()
    with fused(model), recomputed(model, settings.activation_checkpointing):
        for number, epoch, step in track(numbered(plan), title, total):
            parts = micro.run(model, step, lambda batches: accumulate(model, batches, terms, precision))
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
            record = TrainingStep(
                step=number, epoch=epoch, loss=loss, lr=rate, tokens=sum(batch.tokens for batch in step),
                seconds=round(time.perf_counter() - started, 3),
                **({"parts": parts} if len(parts) > 1 else {}),
            )  # fmt: skip
            history.append(record)
            if best and number % in_epoch == 0:
                held_out = micro.run(model, held, lambda held: evaluated(model, held, terms, precision))
                watch.look(held_out, number)
                history[-1] = record.model_copy(update={"held_out": held_out})
                if best.over(held_out, parameters):
                    break
        if not best:  # the model after the last step has not been checked yet
            last = micro.run(model, step, lambda step: evaluated(model, step, terms, precision))
            watch.look(last, number)
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
    """The error for a model whose loss is not finite before training, with the first such example."""
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
    """The parameters of the epoch with the lowest held-out loss, and the number of epochs since then."""

    patience: int
    loss: float = math.inf
    ago: int = 0
    values: list[Tensor] = field(default_factory=list)

    def over(self, loss: float, parameters: Sequence[Tensor]) -> bool:
        """Record this epoch if it is the best; returns whether patience is exhausted."""
        self.ago += 1
        if loss < self.loss:
            self.loss, self.ago = loss, 0
            self.values = [parameter.detach().clone() for parameter in parameters]
        return self.ago >= self.patience

    def restore(self, parameters: Sequence[Tensor]) -> None:
        """Restore the parameters of the best epoch."""
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
    """One term of the objective: a loss over batches of some kinds, and its weight."""

    name: str
    loss: Loss
    weight: float
    kinds: tuple[Kind, ...]


def terms_of(settings: Tune) -> list[Term]:
    """The terms of the objective: the recipe's losses over the shots (distillation also over the teacher's
    texts), and the cross-entropy of general text with its share.
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
    """The value of the objective, from the mean of each term."""
    return sum(term.weight * parts[term.name] for term in terms)


def accumulate(
    model: PreTrainedModel, step: Sequence[Batch], terms: Sequence[Term], precision: Precision
) -> dict[str, float]:
    """Accumulate the gradients of one step over its micro-batches; returns the mean of each term.

    A mean is over the complete step: over answer tokens, questions or read tokens, depending on the loss.
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
    """A term summed over a batch; TuneError if that is not one number: a plugin may give anything."""
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
    scored_terms = [term for term in terms if term.name != "replay"]
    loss = weighted(
        scored_terms, accumulate(model, [b for b in batches if b.kind == "shots"], scored_terms, precision)
    )
    model.train()
    return loss


def cosine_with_warmup(steps: int, warmup: float) -> Any:
    """A function from the number of completed steps to the learning-rate factor: a linear increase over the
    share `warmup` of all `steps` to the full rate, then half a cosine (Loshchilov and Hutter 2017) towards
    zero.
    """
    rise = math.ceil(steps * warmup)

    def factor(done: int) -> float:
        if done < rise:
            return (done + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (done - rise) / max(1, steps - rise)))

    return factor
