"""Expands a recipe with a `sweep` to its cells: one named recipe for every combination."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tailored_llama.errors import RecipeError, shown
from tailored_llama.names import check_name, same_name
from tailored_llama.recipe import Recipe, is_section, load_recipe

MOST = 500
"""Default of `max_cells`: the most cells that a sweep may have."""
VARIANTS, MAX_CELLS, SEED, FAIR, TUNED = "variants", "max_cells", "seed", "dense_tuned", "tuned"
MOST_EVER = 100_000
LONGEST, LONGEST_CELL = 40, 200
"""Maximum characters of a value in a cell's name, and of the full name."""

Value = tuple[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run: its recipe and its values of the lists. Cells that differ only in the seed share a `group`."""

    group: str
    seed: int
    chosen: dict[str, Any]
    recipe: Recipe
    lists: tuple[str, ...] = ()
    """The keys that were swept over values, not set by a variant."""
    dense_tuned: bool = True
    """Whether the unpruned model is tuned too."""
    tuned: bool = True
    """Whether models are tuned; otherwise the rows are those of the dense, pruned and healed model."""

    @property
    def name(self) -> str:
        """The name of its run directory."""
        return ",".join(part for part in (self.group, f"seed={self.seed}") if part)


def cells_of(recipe: Recipe) -> list[Cell]:
    """Every combination of the lists and variants in `recipe.sweep`, seed by seed.

    Raises RecipeError for a value that is not a list, an empty list, a repeated value, a key that is unknown
    or set twice, a value that does not fit its key, and for more cells than allowed.
    """
    axes = _axes(dict(recipe.sweep or {}))
    most = axes.pop(MAX_CELLS, MOST)
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_EVER:
        raise RecipeError(
            f"sweep.{MAX_CELLS}: a number of cells, 1 to {MOST_EVER}, is needed (it is {shown(most)})"
        )
    fair, tuned = (_switch(axes, key) for key in (FAIR, TUNED))
    variants = _variants(axes.pop(VARIANTS, {"": {}}), [*axes])
    seeds = _values(SEED, axes.pop(SEED, [recipe.seed]))
    lists = {key: _values(key, values) for key, values in axes.items()}
    counts = [len(seeds), len(variants), *map(len, lists.values())]
    total = 1
    for count in counts:
        total *= count
    if total > most:
        sizes = " x ".join(str(count) for count in counts if count > 1)
        raise RecipeError(
            f"sweep: {total} cells ({sizes}) are more than {most}; shorten its lists or set sweep.{MAX_CELLS}"
        )
    base = recipe.model_dump(exclude={"sweep"})
    base["export"] = {"formats": []}  # to export a cell, run its recipe.json
    cells = []
    for (_, seed), (variant, changes), *values in product(seeds, variants.items(), *lists.values()):
        chosen = dict(zip(lists, (value for _, value in values), strict=True))
        parts = [
            variant,
            *(f"{_short(key, lists)}={text}" for key, (text, _) in zip(lists, values, strict=True)),
        ]
        group = ",".join(part for part in parts if part)
        resolved = load_recipe(base, [*changes.items(), *chosen.items(), (SEED, seed)])
        picked = {**({"variant": variant} if variant else {}), **changes, **chosen}
        cells.append(Cell(group, resolved.seed, picked, resolved, tuple(lists), fair, tuned))
    _check_names([cell.name for cell in cells])
    return cells


def _switch(axes: dict[str, Any], key: str) -> bool:
    value = axes.pop(key, True)
    if not isinstance(value, bool):
        raise RecipeError(f"sweep.{key}: true or false is needed (it is {shown(value)})")
    return value


def _check_names(names: Sequence[str]) -> None:
    """RecipeError if a cell's name is not valid for a directory, or not unique."""
    for name in names:
        try:
            check_name(name, longest=LONGEST_CELL, most_bytes=LONGEST_CELL)
        except ValueError as error:
            raise RecipeError(f"sweep: cell {shown(name)}: {error}") from None
    duplicate = same_name(names)
    if duplicate:
        raise RecipeError(f"sweep: two cells are named {shown(duplicate)}; rename the variants")


def check_assigned(recipe: Recipe, keys: Iterable[str]) -> None:
    """RecipeError if one of `keys`, set for a run, is also set by its sweep for each cell."""
    if recipe.sweep is None:
        return
    axes = _axes(dict(recipe.sweep))
    variants = _variants(axes.pop(VARIANTS, {"": {}}), [])
    swept = [key for key in axes if key not in (MAX_CELLS, FAIR, TUNED)]
    swept += [key for changes in variants.values() for key in changes]
    for key in keys:
        other = next((other for other in swept if _nested(key, other)), None)
        if other:
            raise RecipeError(
                f"{key}: this recipe sweeps {other}; set sweep.{other} to a list, or change the variants"
            )


def _axes(sweep: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys to lists; nested mappings, as `--set sweep.prune.ratio=[...]` makes them, flattened."""
    if not sweep:
        raise RecipeError(
            "sweep: it is empty; give keys with lists of values, e.g. sweep: {prune.ratio: [0.2, 0.5]}"
        )
    flat: dict[str, Any] = {}
    for key, value in sweep.items():
        if key != VARIANTS and isinstance(value, Mapping):
            for inner, own in _axes(dict(value)).items():
                flat[f"{key}.{inner}"] = own
        else:
            flat[key] = value
    return flat


def _values(key: str, values: Any) -> list[Value]:
    """Each value of a list, with its form in the name of a directory."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise RecipeError(f"sweep.{key}: a list of values is needed (it is {shown(values)})")
    if not values:
        raise RecipeError(f"sweep.{key}: the list is empty; give at least one value or remove the key")
    named = [(_name(value, place), value) for place, value in enumerate(values, start=1)]
    if len({repr(value) for value in values}) < len(values):
        raise RecipeError(f"sweep.{key}: a value is listed twice ({shown(values)}); list each once")
    if len({name for name, _ in named}) < len(named):
        named = [(f"{place}", value) for place, value in enumerate(values, start=1)]
    return named


def _variants(variants: Any, taken: list[str]) -> dict[str, dict[str, Any]]:
    """Named sets of changes, as dotted keys; for a list of mappings, every combination."""
    combined: dict[str, dict[str, Any]] = {"": {}}
    for named in variants if isinstance(variants, list) else [variants]:
        if not isinstance(named, Mapping) or not named:
            raise RecipeError(
                "sweep.variants: give each variant a name and its changes, e.g. {small: {tune.lora.r: 4}}"
            )
        own = {str(name): _changes(str(name), changes, taken) for name, changes in named.items()}
        if len(combined) * len(own) > MOST_EVER:
            raise RecipeError(f"sweep.variants: more than {MOST_EVER} combinations; list fewer of them")
        taken = [*taken, *{key for changes in own.values() for key in changes}]
        combined = {
            ",".join(filter(None, (before, name))): {**earlier, **changes}
            for before, earlier in combined.items()
            for name, changes in own.items()
        }
    return combined


def _changes(name: str, changes: Any, taken: Sequence[str]) -> dict[str, Any]:
    """What one variant sets."""
    if not isinstance(changes, Mapping):
        raise RecipeError(f"sweep.variants.{name}: a mapping of keys is needed (it is {shown(changes)})")
    if name and _name(name, 0) != name:
        raise RecipeError(
            f"sweep.variants: {shown(name)} is not a valid name; use up to {LONGEST} letters, digits and ._-"
        )
    for key, value in changes.items():
        other = next((other for other in taken if _nested(key, other)), None)
        if other == key:
            raise RecipeError(f"sweep: {key} is in a list and in variant {name}; set it in one place")
        if other:
            raise RecipeError(
                f"sweep: {key} in variant {name} conflicts with {other}; write a variant for each pair"
            )
        if isinstance(value, Mapping) and is_section(key):
            example = f"{key}.{next(iter(value), 'KEY')}"
            raise RecipeError(
                f"sweep.variants.{name}: {key} as a mapping would reset its other keys; "
                f"write {example} and so on"
            )
    return {str(key): value for key, value in changes.items()}


def _nested(key: str, other: str) -> bool:
    """Whether two dotted keys are equal, or one contains the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _name(value: Any, place: int) -> str:
    """A value as part of a directory name; its position in the list if it would be too long."""
    text = "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if isinstance(value, Mapping):
        text = "+".join(f"{key}{own}" for key, own in value.items())
    text = re.sub(r"[^\w.+-]+", "-", text).strip("-.")
    return text if text and len(text) <= LONGEST else str(place)


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """The shortest ending of a dotted key that is unique in the sweep."""
    parts = key.split(".")
    for count in range(1, len(parts) + 1):
        end = ".".join(parts[-count:])
        if sum(other == end or other.endswith(f".{end}") for other in keys) == 1:
            return end
    return key


def groups_of(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """The cells of every setting, its seeds together, in the order of the sweep."""
    by_group: dict[str, list[Cell]] = {}
    for cell in cells:
        by_group.setdefault(cell.group, []).append(cell)
    yield from by_group.items()
