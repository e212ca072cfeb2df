"""Sizes of a model: computed from its config, bytes from the headers of its files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint, families


def sizes(model: str | Path, length: int, *, config_only: bool) -> dict[str, Any]:
    """Parameters, MACs of one sequence of `length` tokens, and bytes of the weights.

    With `config_only` the bytes are for the precision in the config, else fp32. Raises CheckpointError,
    FamilyError.
    """
    config = checkpoint.load_config(model)
    params = families.parameter_count(config)
    facts = {
        "model": str(model),
        "digest": None,
        "family": str(config.model_type),
        "params": params,
        "macs": families.mac_count(config, length),
    }
    if config_only:
        precision = getattr(config, "dtype", None)
        return facts | {"weights_bytes": params * (precision.itemsize if precision is not None else 4)}
    weights = checkpoint.open_weights(model)
    stored = sum(math.prod(weights.shape(name)) * weights.dtype(name).itemsize for name in weights.names())
    return facts | {
        "digest": checkpoint.digest_directory(checkpoint.resolve(model)),
        "weights_bytes": stored,
    }
