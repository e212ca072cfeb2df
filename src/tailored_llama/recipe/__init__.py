"""The recipe: one YAML file that describes a run (schema.py), and its reading (document.py, load.py)."""

from tailored_llama.names import suggest
from tailored_llama.recipe.base import MOST_TOKENS, Name, Place, Precision, Projection, Strict
from tailored_llama.recipe.document import parse_value, read_yaml
from tailored_llama.recipe.load import (
    Document,
    bundled_recipes,
    find_recipe,
    is_section,
    load_recipe,
    override,
    settings_of,
    validate,
)
from tailored_llama.recipe.measuring import Measure
from tailored_llama.recipe.pruning import Calibration, Prune, Reduce, Unit
from tailored_llama.recipe.schema import Evaluate, Export, Recipe
from tailored_llama.recipe.training import Distill, EarlyStop, Heal, HealLora, HealText, Lora, Replay, Tune

__all__ = [
    "MOST_TOKENS",
    "Calibration",
    "Distill",
    "Document",
    "EarlyStop",
    "Evaluate",
    "Export",
    "Heal",
    "HealLora",
    "HealText",
    "Lora",
    "Measure",
    "Name",
    "Place",
    "Precision",
    "Projection",
    "Prune",
    "Recipe",
    "Reduce",
    "Replay",
    "Strict",
    "Tune",
    "Unit",
    "bundled_recipes",
    "find_recipe",
    "is_section",
    "load_recipe",
    "override",
    "parse_value",
    "read_yaml",
    "settings_of",
    "suggest",
    "validate",
]
