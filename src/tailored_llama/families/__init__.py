"""What may be cut together is stated here, not traced: one table of slices a family, one file a family.

A new LLaMA-like family is a `Family` in a file of its own, imported below: its projections in member order,
the config attributes it reads, and what its stock class accepts.
"""

from tailored_llama.families import (  # noqa: F401  (each registers its table)
    gemma2,
    gemma3,
    llama,
    mistral,
    phi3,
    qwen2,
    qwen3,
)
from tailored_llama.families.groups import check_config, groups, head_dim, widths, with_widths
from tailored_llama.families.sizes import mac_count, parameter_count
from tailored_llama.families.table import (
    Family,
    Group,
    Kept,
    Kind,
    LayerWidths,
    Slice,
    describe,
    family_names,
)

__all__ = [
    "Family",
    "Group",
    "Kept",
    "Kind",
    "LayerWidths",
    "Slice",
    "check_config",
    "describe",
    "family_names",
    "groups",
    "head_dim",
    "mac_count",
    "parameter_count",
    "widths",
    "with_widths",
]
