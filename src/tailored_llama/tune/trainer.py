"""The training loop: AdamW, cosine with warm-up, clipping, and a stop where the loss goes astray."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from tailored_llama.errors import TuneError
from tailored_llama.progress import track
from tailored_llama.recipe import Tune
from tailored_llama.scoring import Request
from tailored_llama.tune.data import Batch, epochs
from tailored_llama.tune.losses import LOSSES
from tailored_llama.tune.precision import autocast, choose_precision

logger = logging.getLogger(__name__)
MAX_NORM = 1.0  # of all adapter gradients together
EXPLODED = 10.0  # times the first epoch's mean loss


@dataclass
class Watch:
    """Stops a run whose loss is not a number, or above EXPLODED times the first epoch's mean plus 1 nat.

    The nat is for tasks whose answers are nearly certain from the start, where ten times nothing is nothing.
    Within the first epoch its mean so far stands in; the first step has nothing to be compared with.
    """

    first: list[float] = field(default_factory=list)

    def check(self, loss: float, epoch: int, step: int) -> None:
        """Raises TuneError for a loss no step should follow; steps and epochs count from 1."""
        if not math.isfinite(loss):
            raise TuneError(f"tuning stopped at step {step}: the loss is {loss}; {REMEDY}")
        mean = sum(self.first) / len(self.first) if self.first else loss
        if loss > EXPLODED * mean + 1.0:
            raise TuneError(
                f"tuning stopped at step {step}: the loss exploded from {mean:.3g} to {loss:.3g}; {REMEDY}"
            )
        if epoch == 1:
            self.first.append(loss)


REMEDY = "lower tune.learning_rate, or set tune.precision: fp32"


@torch.enable_grad()  # whatever the caller has switched off
def fit(
    model: PreTrainedModel, shots: Sequence[Request], settings: Tune, *, seed: int, title: str = "tune"
) -> list[dict[str, Any]]:
    """Train the parameters of `model` that require a gradient, in place, on its own device.

    Returns one record a step: step, epoch, loss (mean over the step's answer tokens, nats), lr, tokens (read,
    padding not counted) and seconds since the start. Dropout draws from torch's global generator.
    Raises TuneError where the loss or a gradient is no longer finite, or the loss explodes (see Watch).
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=True)
    total = settings.epochs * math.ceil(len(shots) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine_with_warmup(total, settings.warmup))
    precision = choose_precision(settings.precision, model.device)
    logger.info("%s: %d shots, %d steps, %s", title, len(shots), total, precision)

    history: list[dict[str, Any]] = []
    watch, started = Watch(), time.perf_counter()
    model.train()
    steps = numbered(epochs(shots, settings.batch_size, settings.epochs, seed))
    for number, epoch, step in track(steps, title, total):
        loss = accumulate(model, step, settings.loss, precision)
        watch.check(loss, epoch, number)
        norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        if not torch.isfinite(norm):
            raise TuneError(f"tuning stopped at step {number}: a gradient is not finite; {REMEDY}")
        rate = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        history.append(
            {"step": number, "epoch": epoch, "loss": loss, "lr": rate, "tokens": sum(b.tokens for b in step),
             "seconds": round(time.perf_counter() - started, 3)}
        )  # fmt: skip
    model.eval()
    return history


def numbered(plan: Iterator[list[list[Batch]]]) -> Iterator[tuple[int, int, list[Batch]]]:
    """(step, epoch, micro-batches) from 1."""
    number = 0
    for epoch, steps in enumerate(plan, start=1):
        for step in steps:
            number += 1
            yield number, epoch, step


def accumulate(model: PreTrainedModel, step: Sequence[Batch], loss: str, precision: Any) -> float:
    """Add the gradients of one step, micro-batch by micro-batch; returns its mean loss per answer token."""
    answer_tokens = sum(len(batch.targets) for batch in step)
    total = torch.zeros((), device=model.device)
    for batch in step:
        moved = batch.to(model.device)
        with autocast(precision, model.device):
            logits = answer_logits(model, moved)
        part = LOSSES[loss](logits.float(), moved) / answer_tokens
        part.backward()  # type: ignore[no-untyped-call]
        total += part.detach()
    return total.item()


def answer_logits(model: PreTrainedModel, batch: Batch) -> Float[Tensor, "answer_tokens vocab"]:
    """Logits where the next token is an answer's, in the order of `batch.targets`.

    The head, most of the work of a small model with a large vocabulary, runs on these places only.
    """
    with head_reads_only(model, batch.predicts):
        logits: Tensor = model(input_ids=batch.ids, use_cache=False).logits
    return logits


@contextmanager
def head_reads_only(model: PreTrainedModel, places: Bool[Tensor, "sequences length"]) -> Iterator[None]:
    """Hand the head the marked places of the hidden states, flattened. A hook before the head, and not a call
    of it behind the decoder, because some families scale or cap their logits in the model's own forward.
    """
    head = model.get_output_embeddings()
    assert head is not None
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][places],))
    try:
        yield
    finally:
        hook.remove()


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
