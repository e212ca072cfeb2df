"""The pruning criteria, one file each. Importing this package registers them all."""

from tailored_llama.stages.prune.criteria import (  # noqa: F401  (each registers itself)
    activation,
    block_influence,
    fluctuation,
    l1,
    l2,
    random,
    taylor,
    taylor_mix,
    taylor_second,
    taylor_vector,
    wanda,
)
from tailored_llama.stages.prune.criteria.registry import Criterion, Inputs, Matrix, criteria, criterion

__all__ = ["Criterion", "Inputs", "Matrix", "criteria", "criterion"]
