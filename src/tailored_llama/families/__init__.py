"""Coupled parameters are declared in tables, not traced: one table of slices per family, one file per family.

A new LLaMA-like family is a `Family` in a file of its own in tables/, or in a plugin folder: its projections
in member order, the config attributes it reads, and what its stock class accepts.
"""

from tailored_llama.families.attributes import check_config, unknown_attributes
from tailored_llama.families.dimensions import head_dim, widths
from tailored_llama.families.groups import check_kinds, groups, in_layer, layer_of, rescaling
from tailored_llama.families.nearest import check_known
from tailored_llama.families.ranges import as_floats
from tailored_llama.families.reshape import with_widths
from tailored_llama.families.sizes import Sizes, mac_count, mac_sizes, parameter_count, parameter_sizes
from tailored_llama.families.table import (
    MODEL,
    Family,
    Group,
    Kept,
    Kind,
    LayerWidths,
    Slice,
    architecture,
    describe,
    family_named,
    family_names,
    llama_cpp,
    projections,
)

__all__ = [
    "MODEL",
    "Family",
    "Group",
    "Kept",
    "Kind",
    "LayerWidths",
    "Sizes",
    "Slice",
    "architecture",
    "as_floats",
    "check_config",
    "check_kinds",
    "check_known",
    "describe",
    "family_named",
    "family_names",
    "groups",
    "head_dim",
    "in_layer",
    "layer_of",
    "llama_cpp",
    "mac_count",
    "mac_sizes",
    "parameter_count",
    "parameter_sizes",
    "projections",
    "rescaling",
    "unknown_attributes",
    "widths",
    "with_widths",
]
