"""The recipe: one YAML that describes a whole run (schema.py), and how it is read (load.py)."""

from tailored_llama.recipe.load import (
    bundled_recipes,
    find_recipe,
    load_recipe,
    override,
    parse_value,
    read_yaml,
    suggest,
    validate,
)
from tailored_llama.recipe.schema import (
    Calibration,
    Criterion,
    Evaluate,
    Export,
    Lora,
    Precision,
    Prune,
    Recipe,
    Reduce,
    Strict,
    Tune,
    Unit,
)

__all__ = [
    "Calibration",
    "Criterion",
    "Evaluate",
    "Export",
    "Lora",
    "Precision",
    "Prune",
    "Recipe",
    "Reduce",
    "Strict",
    "Tune",
    "Unit",
    "bundled_recipes",
    "find_recipe",
    "load_recipe",
    "override",
    "parse_value",
    "read_yaml",
    "suggest",
    "validate",
]
