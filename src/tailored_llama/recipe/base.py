"""What every section of the recipe is made of: the strict model, shared types, and units of fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tailored_llama.names import LONGEST_PATH, check_name, check_path

Precision = Literal["fp32", "bf16"]
Projection = Literal["q", "k", "v", "o", "gate", "up", "down"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)
Ratio = Annotated[float, Field(gt=0.0, lt=1.0)]
Name = Annotated[str, AfterValidator(check_name)]
"""Of a task or prompt: part of a file's name."""
Place = Annotated[str, AfterValidator(check_path)]
"""A path, or a name that stands for one."""
MOST_TOKENS = 2**24
"""Of a text: beyond any context."""


def unit(name: str) -> dict[str, Any]:
    """The `json_schema_extra` of a field that is measured in `name`, for the reference page."""
    return {"unit": name}


class Strict(BaseModel):
    """Frozen, and closed to keys it does not know, to NaN and to infinity.

    Every number has an upper bound as well: a larger one is a typing error, or an attempt to keep the
    machine busy.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, allow_inf_nan=False, str_max_length=LONGEST_PATH
    )
