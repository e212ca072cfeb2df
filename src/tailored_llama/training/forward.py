"""The forward pass of training: log-probabilities only at the positions that a loss reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tailored_llama.training.batches import Batch
from tailored_llama.training.cpu_kernels.dropout import masks_of
from tailored_llama.training.precision import Precision, autocast

TOKENWISE = ("self_attn.q_proj", "self_attn.o_proj", "mlp")
"""Modules of a decoder layer that only affect the predictions at their own position."""


def logprobs(model: PreTrainedModel, batch: Batch, precision: Precision) -> Float[Tensor, "places vocab"]:
    """Log-probabilities, in fp32, of the next token at each of `batch.places`.

    The head, which dominates the cost of a small model with a large vocabulary, runs on these places only,
    and so does the last decoder layer except for its keys and values.
    """
    with autocast(precision, model.device), reads_only(model, batch.places, batch.ids.numel()):
        logits: Tensor = model(
            input_ids=batch.ids, position_ids=batch.positions, use_cache=False,
            attention_mask=None if batch.mask is None else batch.mask.to(model.dtype),
        ).logits  # fmt: skip
    return torch.log_softmax(logits.float(), dim=-1)


@contextmanager
def reads_only(model: PreTrainedModel, places: Int[Tensor, " places"], tokens: int) -> Iterator[None]:
    """Inside the block, the head receives only the hidden states at `places`: distinct indices into the
    flattened batch of `tokens` tokens. If they are less than half, the last layer is restricted to them too.
    Implemented by hooks, because some families scale or cap their logits in the model's own forward.
    """
    head = model.get_output_embeddings()
    assert head is not None
    hooks = [head.register_forward_pre_hook(lambda _, inputs: (inputs[0].flatten(0, 1)[places],))]
    if 2 * len(places) <= tokens:
        for module in _tokenwise(model):
            hooks += _only(module, places)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def recomputed(model: PreTrainedModel, enabled: bool) -> Iterator[None]:
    """Inside the block, if `enabled`, a decoder layer keeps only its input for the backward pass, in which it
    is computed again with the same dropout (activation checkpointing: Chen et al. 2016). The last layer keeps
    its activations: they are needed first, when there is most room.
    """
    layers = list(model.get_decoder().layers)[:-1] if enabled else []
    masks = masks_of(model)  # torch's own generators are set back by `checkpoint`

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _all([drawn.again() for drawn in masks])

    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, context_fn=contexts)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the method of the class again


@contextmanager
def _all(contexts: Sequence[AbstractContextManager[Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _tokenwise(model: PreTrainedModel) -> list[nn.Module]:
    """The position-wise modules of the last decoder layer; a fused projection of q, k and v is not one."""
    last = model.get_decoder().layers[-1]
    return [module for name, module in last.named_modules() if name in TOKENWISE]


def _only(module: nn.Module, places: Int[Tensor, " places"]) -> list[Any]:
    """Hooks that make `module` compute at `places` only, with zeros elsewhere."""
    shape: list[torch.Size] = []

    def select(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        shape[:] = [inputs[0].shape[:2]]
        return (inputs[0].flatten(0, 1)[places],)

    def scatter(_: nn.Module, __: tuple[Tensor], output: Tensor) -> Tensor:
        (rows,) = shape
        full = output.new_zeros(rows.numel(), output.shape[-1])
        return full.index_copy(0, places, output).view(*rows, -1)

    return [module.register_forward_pre_hook(select), module.register_forward_hook(scatter)]
