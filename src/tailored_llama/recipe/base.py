"""Common parts of the recipe's sections: the strict model, shared types, and units of fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tailored_llama.names import LONGEST_PATH, check_device, check_name, check_path

Precision = Literal["fp32", "bf16"]
Projection = Literal["q", "k", "v", "o", "gate", "up", "down"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)
Ratio = Annotated[float, Field(gt=0.0, lt=1.0)]
Name = Annotated[str, AfterValidator(check_name)]
"""Name of a task or prompt, which becomes part of a file name."""
Place = Annotated[str, AfterValidator(check_path)]
"""A path, or a name that stands for a path."""
Device = Annotated[str, AfterValidator(check_device)]
"""Where models are computed; whether there is such a device is checked when a model is loaded."""
MOST_TOKENS = 2**24
"""Maximum length of a text in tokens, above any context length."""


def unit(name: str) -> dict[str, Any]:
    """The `json_schema_extra` of a field with the unit `name`, for the reference page."""
    return {"unit": name}


class Strict(BaseModel):
    """Frozen; unknown keys, NaN and infinity are errors.

    Every number also has an upper bound: a larger value is a typing error, or an attempt to exhaust the
    machine.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, allow_inf_nan=False, str_max_length=LONGEST_PATH
    )
