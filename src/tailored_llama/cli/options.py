"""Options that several commands share, and their conversion to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tailored_llama.errors import RecipeError, shown
from tailored_llama.machine import check_device
from tailored_llama.recipe import MOST_TOKENS, Recipe, load_recipe, parse_value
from tailored_llama.recipe.local_data import places_in

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A local directory, a hub id, or `world`.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The directory to write.")]
OptionalOut = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The directory to write.")]
BaseRecipe = Annotated[
    str | None, typer.Option("--recipe", metavar="FILE", help="A recipe (path or bundled name) as the base.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any recipe key, e.g. tune.epochs=10. Repeatable."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Local rows and texts: a sub-directory for each task or text."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of shots, calibration and adapters.")]
Ratio = Annotated[float | None, typer.Option("--ratio", help="Share to remove, between 0 and 1.")]
CriterionName = Annotated[str | None, typer.Option("--criterion", help="See `tailor criteria`.")]
Layers = Annotated[str | None, typer.Option("--layers", metavar="START:END", help="Decoder layers to prune.")]
Shots = Annotated[int | None, typer.Option("--shots", help="Training examples of a task.")]
PromptName = Annotated[str | None, typer.Option("--prompt", help="See `tailor prompts show TASK`.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Score only the first N rows of each task.")]
BatchCalibration = Annotated[
    bool, typer.Option("--batch-calibration", help="Calibrate tasks with the same answers in every row.")
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="auto (the first GPU if there is one), cpu, cuda, cuda:N or mps."),
]
PromptLength = Annotated[
    int,
    typer.Option("--length", min=1, max=MOST_TOKENS, help="Number of prompt tokens, also for MACs."),
]
NewTokens = Annotated[int, typer.Option("--new", min=2, max=MOST_TOKENS, help="Number of generated tokens.")]
Tasks = Annotated[
    str | None, typer.Option("--tasks", metavar="A,B", help="Names or YAML paths, separated by commas.")
]
AllowConfig = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-config", metavar="KEY", help="Accept this unknown attribute of config.json. Repeatable."
    ),
]
Adapter = Annotated[
    Path | None, typer.Option("--adapter", metavar="DIR", help="A tuned directory to merge first.")
]
BaseUnchecked = Annotated[
    bool, typer.Option("--base-unchecked", help="Merge an adapter that another program trained.")
]
Verify = Annotated[bool, typer.Option("--verify", help="Verify the digests of all files before reuse.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="List the stages, their state, and the time and disk needed; write nothing."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")]

MOST = 10**9
"""Maximum number of digits of an integer on the command line."""


def layer_range(text: str) -> list[int]:
    """`"4:30"` as [4, 30]."""
    start, colon, end = text.partition(":")
    if not (colon and _is_number(start) and _is_number(end)):
        raise RecipeError(f"--layers {shown(text)}: write START:END, e.g. --layers 4:30 (end excluded)")
    return [int(start), int(end)]


def assignments(sets: Sequence[str] | None, flags: dict[str, Any]) -> list[tuple[str, Any]]:
    """The `--set` values, then the given flags, as dotted keys; a flag overrides a `--set`."""
    result: list[tuple[str, Any]] = []
    for text in sets or ():
        key, equals, value = text.partition("=")
        if not (equals and key):
            raise RecipeError(f"--set {shown(text)}: write KEY=VALUE, e.g. --set prune.ratio=0.2")
        result.append((key, parse_value(value)))
    return result + [(key, value) for key, value in flags.items() if value is not None]


def shared_flags(seed: int | None, device: str | None, allow_config: Sequence[str] | None) -> dict[str, Any]:
    """The flags that most commands have, as recipe keys."""
    return {"seed": seed, "device": device, "allow_config": list(allow_config) if allow_config else None}


def recipe_of(
    base: str | None,
    sets: Sequence[str] | None,
    flags: dict[str, Any],
    model: str | None = None,
    data: Path | None = None,
) -> Recipe:
    """The recipe of a command: `base` (or the defaults), overridden by `--data`, `--set` and flags."""
    places = places_in(data) if data is not None else {}
    changes = [(f"data.{name}", place) for name, place in places.items()]
    changes += assignments(sets, {"model": model, **flags})
    recipe = load_recipe(base if base is not None else {}, changes)
    check_device(recipe.device)
    return recipe


def names(text: str | None) -> list[str]:
    """`"a, b"` as ["a", "b"]. Raises RecipeError for a text that names nothing."""
    found = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not found:
        raise RecipeError(f"{text!r} names nothing, where a list is expected; write A,B or omit the option")
    return found


def numbers(option: str, text: str) -> list[int]:
    """`"1,4"` as [1, 4]."""
    parts = names(text)
    if not parts or not all(_is_number(part) for part in parts):
        raise RecipeError(f"{option} {shown(text)}: write whole numbers, e.g. {option} 1,4")
    return [int(part) for part in parts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MOST))


def prune_flags(ratio: float | None, criterion: str | None, layers: str | None) -> dict[str, Any]:
    """The pruning flags as dotted recipe keys."""
    return {
        "prune.ratio": ratio,
        "prune.criterion": criterion,
        "prune.layers": layer_range(layers) if layers else None,
    }
