"""Training of all weights of the decoder layers, for small models."""

from __future__ import annotations

from transformers import PreTrainedModel


def unfreeze(model: PreTrainedModel) -> PreTrainedModel:
    """Make the decoder layers and the last norm of `model` trainable, in place; embedding and head are
    frozen.

    The embedding is at least a fifth of a small model, and a step would update only the rows that it reads.
    """
    model.requires_grad_(False)
    decoder = model.get_decoder()
    decoder.layers.requires_grad_(True)
    decoder.norm.requires_grad_(True)
    return model
