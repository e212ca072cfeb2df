"""The section of a model card with the recipe that reproduces the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailored_llama.data.shots import ALL
from tailored_llama.results import Cut, ShotsRecord
from tailored_llama.strict_json import Json, to_json


def recipe(
    base: str | None, cut: Cut | None, shots: ShotsRecord | None, recipe: Mapping[str, Json]
) -> dict[str, Json]:
    """The recipe of the run, or a partial one from the cut and the shots; empty if neither is known.

    Local paths mean nothing to other readers: only their last part is shown.
    """
    complete: dict[str, Json] = dict(recipe)
    if "prune" not in complete:  # an evaluation alone has settings but no recipe
        complete = _from_parts(base, cut, shots)
    if not complete:
        return {}
    shown: dict[str, Json] = without_places(complete)
    return shown


def section(made: Mapping[str, Json], form: str) -> str:
    """The section of the card; empty without a recipe."""
    if not made:
        return ""
    text = to_json(made, indent=2, ensure_ascii=False)
    for char in "<>&":  # as JSON escapes, so that no name is interpreted as HTML
        text = text.replace(char, f"\\u{ord(char):04x}")
    command = f"tailor run recipe.json --set 'export.formats=[{form}]' --out run"
    return (
        f"## Reproduction\n\nSave this as `recipe.json`:\n\n```json\n{text}\n```\n\n"
        f"```sh\npip install tailored-llama\n{command}\n```\n\n"
        "A name that is not a model or data set of the hub was a local file."
    )


def _from_parts(base: str | None, cut: Cut | None, shots: ShotsRecord | None) -> dict[str, Json]:
    settings: dict[str, Json] = {**cut.settings} if cut else {}
    made: dict[str, Json] = {}
    seed = settings.pop("seed", None)
    tasks, data = settings.pop("tasks", None), settings.pop("data", None)
    if settings:
        made["prune"] = settings
    if cut is not None and cut.heal is not None:
        made["heal"] = cut.heal
    if shots is not None:
        tasks = [shots.task]
        made["tune"] = {"shots": len(shots.rows), "prompt": ALL if shots.wordings else shots.prompt}
    if not made:
        return {}
    made |= {"seed": seed} if seed is not None else {}
    made |= {"tasks": tasks} if tasks else {}
    made |= {"data": data} if data else {}
    return {"model": base, **made} if base else made


def without_places(value: Any) -> Any:
    """`value` with every path reduced to its last part."""
    if isinstance(value, Mapping):
        return {key: without_places(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(entry) for entry in value]
    if isinstance(value, str) and (Path(value).is_absolute() or (Path(value).exists() and "/" in value)):
        return Path(value).name
    return value
