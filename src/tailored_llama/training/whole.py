"""Training all weights of the decoder layers, where a model is small enough for it."""

from __future__ import annotations

from transformers import PreTrainedModel


def unfreeze(model: PreTrainedModel) -> PreTrainedModel:
    """`model`, changed in place: its decoder layers and last norm will train, embedding and head will not.

    The embedding is a fifth and more of a small model, and a step moves only the rows that it reads.
    """
    model.requires_grad_(False)
    decoder = model.get_decoder()
    decoder.layers.requires_grad_(True)
    decoder.norm.requires_grad_(True)
    return model
