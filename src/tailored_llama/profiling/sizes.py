"""Sizes of a model: computed from its config, bytes from the headers of its files."""

from __future__ import annotations

import math
from pathlib import Path

from tailored_llama import checkpoint, families
from tailored_llama.results import MeasuredModel


def sizes(model: str | Path, length: int, *, config_only: bool) -> MeasuredModel:
    """Parameters, MACs of one sequence of `length` tokens, and bytes of the weights.

    With `config_only` the bytes are for the precision in the config, else fp32. Raises CheckpointError,
    FamilyError.
    """
    config = checkpoint.load_config(model)
    params = families.parameter_count(config)
    if config_only:
        precision = getattr(config, "dtype", None)
        digest, stored = None, params * (precision.itemsize if precision is not None else 4)
    else:
        weights = checkpoint.open_weights(model)
        stored = sum(
            math.prod(weights.shape(name)) * weights.dtype(name).itemsize for name in weights.names()
        )
        digest = checkpoint.digest_directory(checkpoint.resolve(model))
    return MeasuredModel(
        model=str(model), digest=digest, family=str(config.model_type), params=params,
        macs=families.mac_count(config, length), weights_bytes=stored,
    )  # fmt: skip
