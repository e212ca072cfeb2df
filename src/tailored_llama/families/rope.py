"""The rotary parameters of a config: types, ranges, and the parameters that each type of scaling requires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tailored_llama.families.table import family_named
from tailored_llama.families.values import Factor, Partial, Theta


class Exact(BaseModel):
    """A strict model without conversions: true is not a number, 4.0 not an integer; NaN and infinity are
    invalid.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class Rope(Exact):
    """One set of rotary parameters; the type determines which are required."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: Theta | None = None
    partial_rotary_factor: Partial | None = None
    factor: Factor | None = None
    original_max_position_embeddings: Annotated[int, Field(ge=2, le=2**31 - 1)] | None = None
    attention_factor: Factor | None = None
    low_freq_factor: Factor | None = None
    high_freq_factor: Factor | None = None
    beta_fast: Factor | None = None
    beta_slow: Factor | None = None
    mscale: Annotated[float, Field(ge=0, le=1e6)] | None = None
    mscale_all_dim: Annotated[float, Field(ge=0, le=1e6)] | None = None
    truncate: bool | None = None
    short_factor: list[Factor] | None = None
    long_factor: list[Factor] | None = None

    @property
    def kind(self) -> str:
        """The type by either spelling, as transformers reads it."""
        return self.rope_type or self.type or "default"


ROPE_KEYS = frozenset(Rope.model_fields) | {"finetuned"}
NEEDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "longrope": ("short_factor", "long_factor"),
}
SCALING = frozenset(key for keys in NEEDS.values() for key in keys)
LAYER_TYPES = ("full_attention", "sliding_attention")


def rope_sections(content: Mapping[str, Any]) -> dict[str, Any]:
    """Every set of rotary parameters in `content`, by its key.

    Gemma 3 has one for each type of attention, `rope_parameters.full_attention` for example.
    """
    sections: dict[str, Any] = {"rope_scaling": content.get("rope_scaling")}
    parameters = content.get("rope_parameters")
    if _by_layer_type(content) and isinstance(parameters, Mapping):
        sections |= {f"rope_parameters.{key}": value for key, value in parameters.items()}
    else:
        sections["rope_parameters"] = parameters
    return {name: section for name, section in sections.items() if section is not None}


def rope_problems(content: Mapping[str, Any], head_dim: int) -> Iterator[str]:
    """Problems of rotary parameters whose single values are in range, one sentence each."""
    sections = {name: Rope.model_validate(section) for name, section in rope_sections(content).items()}
    if _by_layer_type(content):
        names = [name.removeprefix("rope_parameters.") for name in sections if name != "rope_scaling"]
        for name in names:
            if name not in LAYER_TYPES:
                yield (
                    f"rope_parameters.{name}: this family has one set of parameters for each of "
                    f"{', '.join(LAYER_TYPES)}"
                )
    full = Rope(partial_rotary_factor=content.get("partial_rotary_factor"))
    for name, rope in (sections or {"rope_parameters": full}).items():
        share = rope.partial_rotary_factor or full.partial_rotary_factor or 1
        yield from _scaling(content, name, rope, head_dim, share)


def _scaling(content: Mapping[str, Any], name: str, rope: Rope, head_dim: int, share: float) -> Iterator[str]:
    family = family_named(str(content["model_type"]))
    kinds = family.rope_types or {kind: kind for kind in NEEDS}
    if rope.kind not in kinds:
        yield f"{name}: unknown type {rope.kind[:40]!r}; known: {', '.join(kinds)}"
        return
    kind = kinds[rope.kind]
    missing = [key for key in NEEDS[kind] if getattr(rope, key) is None]
    if missing:
        yield f"{name}: the type {rope.kind} needs {', '.join(missing)}"
    unused = [key for key in sorted(SCALING) if kind == "default" and getattr(rope, key) is not None]
    if unused:
        yield f"{name}: {', '.join(unused)} is given without a type that reads it"
    if share != 1 and "partial_rotary_factor" not in family.known:
        yield f"{name}: partial_rotary_factor is {share}, but the layers of {family.name} rotate whole heads"
    rotated = int(head_dim * share)
    if rotated % 2 or rotated < (4 if kind == "dynamic" else 2):
        yield f"{name}: {rotated} channels of each head are rotated; an even number is needed"
    for key in ("short_factor", "long_factor") if kind == "longrope" else ():
        factors = getattr(rope, key)
        if factors is not None and len(factors) != rotated // 2:
            yield f"{name}.{key} lists {len(factors)} factors where {rotated // 2} are needed"
    for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
        least, most = getattr(rope, low), getattr(rope, high)
        if least is not None and most is not None and least >= most:
            yield f"{name}: {high} = {most:g} must be above {low} = {least:g}"


def _by_layer_type(content: Mapping[str, Any]) -> bool:
    """Whether the family has rotary parameters for each type of attention."""
    return family_named(str(content.get("model_type"))).rope_by_layer_type
