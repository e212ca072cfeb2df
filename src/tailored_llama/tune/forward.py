"""One forward pass of tuning: log-probabilities where a loss reads them, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama.tune.data import Batch
from tailored_llama.tune.precision import Precision, autocast


def logprobs(model: PreTrainedModel, batch: Batch, precision: Precision) -> Float[Tensor, "places vocab"]:
    """Log-probabilities in fp32 of what follows each of `batch.places`.

    The head, most of the work of a small model with a large vocabulary, runs on these places only.
    """
    with autocast(precision, model.device), head_reads_only(model, batch.places):
        logits: Tensor = model(
            input_ids=batch.ids, position_ids=batch.positions, use_cache=False,
            attention_mask=None if batch.mask is None else batch.mask.to(model.dtype),
        ).logits  # fmt: skip
    return torch.log_softmax(logits.float(), dim=-1)


@contextmanager
def head_reads_only(model: PreTrainedModel, places: Int[Tensor, " places"]) -> Iterator[None]:
    """Hand the head the hidden states at `places`, counted row after row. A hook before the head, and not a
    call of it behind the decoder, because some families scale or cap their logits in the model's own forward.
    """
    head = model.get_output_embeddings()
    assert head is not None
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0].flatten(0, 1)[places],))
    try:
        yield
    finally:
        hook.remove()
