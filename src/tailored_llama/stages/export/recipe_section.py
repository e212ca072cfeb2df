"""The recipe by which a model can be made again, as its card gives it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailored_llama.results import Cut, ShotsRecord
from tailored_llama.strict_json import Json, to_json


def recipe(
    base: str | None, cut: Cut | None, shots: ShotsRecord | None, recipe: Mapping[str, Json]
) -> dict[str, Json]:
    """The run's own recipe, or as much of one as the cut and the shots have; empty if neither is known.

    Places on this disk mean nothing to a reader: of a path only its last part is left.
    """
    whole: dict[str, Json] = dict(recipe)
    if "prune" not in whole:  # an evaluation alone has settings, and no recipe
        whole = _from_parts(base, cut, shots)
    if not whole:
        return {}
    shown: dict[str, Json] = without_places(whole)
    return shown


def section(made: Mapping[str, Json], form: str) -> str:
    """The section of the card; nothing without a recipe."""
    if not made:
        return ""
    text = to_json(made, indent=2, ensure_ascii=False)
    for char in "<>&":  # as escapes of JSON, so that no name in it is HTML to any reader of the file
        text = text.replace(char, f"\\u{ord(char):04x}")
    command = f"tailor run recipe.json --set 'export.formats=[{form}]' --out run"
    return (
        f"## To do it again\n\nSave this as `recipe.json`:\n\n```json\n{text}\n```\n\n"
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
        made["tune"] = {"shots": len(shots.rows), "prompt": shots.prompt}
    if not made:
        return {}
    made |= {"seed": seed} if seed is not None else {}
    made |= {"tasks": tasks} if tasks else {}
    made |= {"data": data} if data else {}
    return {"model": base, **made} if base else made


def without_places(value: Any) -> Any:
    """`value` with the last part of every path in it."""
    if isinstance(value, Mapping):
        return {key: without_places(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(entry) for entry in value]
    if isinstance(value, str) and (Path(value).is_absolute() or (Path(value).exists() and "/" in value)):
        return Path(value).name
    return value
