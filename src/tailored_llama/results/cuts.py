"""What was cut of a model: `plan.json` without its methods, and `cut.json`, the sum of several cuts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from tailored_llama.results.records import SideFile

Units = list[int] | dict[str, list[int]]
"""Kept indices: of the whole model, or by layer."""


class PlanSource(SideFile):
    """The model that a plan is for."""

    file: ClassVar[str] = "plan"

    model: str | None = Field(None, description="Its name, without the directory that holds it.")
    digest: str | None = Field(None, description="sha256 of its directory; null in memory.")
    layers: list[list[int]] | None = Field(
        None, description="Of each layer: query heads, KV heads, MLP channels."
    )
    hidden: int | None = Field(None, description="Residual channels.")
    card: dict[str, JsonValue] | None = Field(None, description="Licence and language by its model card.")


class Parameters(SideFile):
    """Parameters of a model before and after a cut."""

    before: int
    after: int


class Cut(SideFile):
    """The content of a plan.json or a cut.json."""

    file: ClassVar[str] = "plan.json"

    source: PlanSource = Field(default_factory=PlanSource)
    kept: dict[str, Units] = Field(default_factory=dict, description="By kind of unit.")
    params: Parameters | None = None
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="A recipe's `prune` as resolved, and the seed."
    )
    heal: dict[str, JsonValue] | None = Field(
        None, description="A recipe's `heal`, where the model was healed since."
    )

    @property
    def ratio(self) -> float:
        """The share that was cut, by the settings; 0 where they do not have it."""
        ratio = self.settings.get("ratio", 0)
        return ratio if isinstance(ratio, int | float) else 0

    @property
    def rounds(self) -> int:
        """How many times the model was healed."""
        rounds = (self.heal or {}).get("rounds", 0)
        return rounds if isinstance(rounds, int) else 0

    @property
    def layers(self) -> list[int] | None:
        """The decoder layers that were kept; None if no whole layer was cut."""
        layers = self.kept.get("layers")
        return layers if isinstance(layers, list) else None
