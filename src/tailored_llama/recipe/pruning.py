"""The recipe's `prune` section."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from tailored_llama.plugins import CRITERIA, known_name, listed
from tailored_llama.recipe.base import MOST_TOKENS, Place, Precision, Ratio, Strict, unit

Criterion = Annotated[str, AfterValidator(partial(known_name, CRITERIA))]
Reduce = Literal["sum", "mean", "max", "prod", "first", "second"]
Unit = Literal["heads", "query_heads", "mlp", "hidden", "layers"]
Layer = Annotated[int, Field(le=10**4)]


class Calibration(Strict):
    """The text on which the pruning criteria are computed: `samples` windows of `length` tokens."""

    source: Place = Field(
        "c4",
        description="`c4`, `world`, `task` (the prompts of the tasks with their answers, from the training "
        "split), or a `.txt`, `.jsonl` or `.safetensors` file (`input_ids` of shape [samples, length])",
    )
    samples: int = Field(
        10, ge=1, le=10**6, description="number of windows of text", json_schema_extra=unit("windows")
    )
    length: int = Field(
        64, ge=2, le=MOST_TOKENS, description="length of a window", json_schema_extra=unit("tokens")
    )


class Prune(Strict):
    """How much is removed, of which structures, by which criterion.

    The defaults are LLM-Pruner's published block-wise setting.
    """

    ratio: Ratio = Field(0.5, description="share of the model that is removed, between 0 and 1")
    of: Literal["params", "macs", "bytes", "units"] = Field(
        "params",
        description="what `ratio` is a share of: `params`: all parameters of the model; `macs`: its "
        "multiply-accumulates on 64 tokens; `bytes`: its size as stored; `units`: the units of the chosen "
        "layers, as LLM-Pruner counts",
    )
    units: tuple[Unit, ...] = Field(
        ("heads", "mlp"),
        description="the structures that may be removed, one kind or several: `heads` (a KV head with its "
        "query heads), `query_heads` (single query heads, the same number of each KV head), `mlp` (MLP "
        "channels), `hidden` (channels of the residual stream), `layers` (whole decoder layers)",
    )
    layers: tuple[Layer, Layer] | None = Field(
        None, description="`[start, end]`, end excluded: the decoder layers that are pruned; none: all layers"
    )
    criterion: Criterion = Field(
        "taylor",
        description=f"how units are scored: {listed(CRITERIA)}, or a plugin; `tailor criteria` lists them "
        "with their sources",
    )
    objective: Literal["lm", "margin"] = Field(
        "lm",
        description="the loss whose gradient is taken: `lm`: language modelling on the calibration text; "
        "`margin`: the margin of the right choice of a question over the best wrong choice, with "
        "`calibration.source: task`",
    )
    reduce: Reduce = Field(
        "sum",
        description="how the scores of the matrices of one unit (q, o, v, k or gate, up, down) are combined: "
        "`sum`, `mean`, `max`, `prod`, `first`, `second`",
    )
    allocate: Literal["uniform", "global"] = Field(
        "uniform",
        description="`uniform`: every layer loses the same share; `global`: the lowest scores of all layers "
        "are removed",
    )
    normalise: Literal["auto", "none", "kind", "block"] = Field(
        "auto",
        description="with `allocate: global`, how scores are made comparable: `none`: as they are; `kind`: "
        "divided by the mean of their kind; `block`: divided by the mean of their kind in their layer; "
        "`auto`: `block` for magnitudes and activations, `none` for Taylor criteria and with `of: units`",
    )
    steps: int = Field(
        1, ge=1, le=1000,
        description="number of pruning steps; units are scored again after each, on the same tokens",
    )  # fmt: skip
    trajectory: tuple[Ratio, ...] = Field(
        (), max_length=1000,
        description="ratios below `ratio` whose plans are saved as well, nested, in "
        "`trajectory/plan-0.20.json` and so on",
    )  # fmt: skip
    align: int = Field(
        1, ge=1, le=2**20,
        description="widths are multiples of this number", json_schema_extra=unit("units"),
    )  # fmt: skip
    floor: float = Field(
        1, gt=0, le=2**20,
        description="the least that stays of each kind in each layer: below 1 a share, from 1 on a number",
        json_schema_extra=unit("share or units"),
    )  # fmt: skip
    alike: bool = Field(
        False,
        description="every layer keeps the same number of each kind, so that transformers alone loads the "
        "result",
    )
    reconstruct: bool = Field(
        False,
        description="after the cut, fit o_proj and down_proj to the outputs of the unpruned model on the "
        "calibration text",
    )
    precision: Precision = Field(
        "fp32",
        description="of the matrix products while units are scored: `fp32`, or `bf16`: factors in bf16; "
        "sums, norms, residual stream and scores in fp32",
    )
    calibration: Calibration = Field(Calibration(), description="the text on which units are scored")

    @field_validator("units")
    @classmethod
    def _some_units(cls, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        if not units or len(set(units)) != len(units):
            raise ValueError(f"name each unit kind once, of {', '.join(get_args(Unit))}")
        return units

    @field_validator("floor")
    @classmethod
    def _share_or_number(cls, floor: float) -> float:
        if floor > 1 and floor != int(floor):
            raise ValueError("a share of the units below 1, or a whole number of them")
        return floor

    @model_validator(mode="after")
    def _ratios_on_the_way(self) -> Prune:
        if any(ratio > self.ratio for ratio in self.trajectory):
            raise ValueError(f"trajectory: its ratios must be below ratio, which is {self.ratio:g}")
        return self

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, layers: tuple[int, int] | None) -> tuple[int, int] | None:
        if layers is not None and not 0 <= layers[0] < layers[1]:
            raise ValueError(
                f"[{layers[0]}, {layers[1]}] is not a range of layers: 0 <= start < end is required"
            )
        return layers
