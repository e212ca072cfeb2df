"""The recipe and its `evaluate` and `export` sections, as strict and frozen models.

The other sections are in pruning.py and training.py. Each field carries its description, unit and default:
docs/reference/recipe.md is generated from them (reference.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from tailored_llama.plugins import FORMATS, known_name, listed
from tailored_llama.recipe.base import MOST_TOKENS, Device, Name, Place, Strict, unit
from tailored_llama.recipe.pruning import Prune
from tailored_llama.recipe.training import Heal, Tune


class Evaluate(Strict):
    """What is scored, and in which wording."""

    tasks: tuple[Place, ...] | None = Field(
        None,
        description="tasks that are scored; none: the recipe's. A task that was not tuned is scored in its "
        "stock wording (lm_eval's, or the first of a task without one)",
    )
    prompt: Name = Field(
        "same",
        description="in a run, `same`: the tuned wording for every row, with lm_eval's reported in addition; "
        "or `harness`: lm_eval's alone; or the name of a prompt that is tuned in. Outside a run: any prompt "
        "of the task, by default its stock wording",
    )
    perplexity: tuple[Place, ...] = Field(
        (),
        description="corpora: `wikitext2`, `ptb`, `world`, or `.txt` files; `wikitext2@2048` gives the "
        "window of one corpus",
    )
    length: int = Field(
        128, ge=2, le=MOST_TOKENS,
        description="length of a perplexity window: LLM-Pruner's 128; most papers report 2048, and the two "
        "do not compare", json_schema_extra=unit("tokens"),
    )  # fmt: skip
    limit: int | None = Field(
        None, ge=1, le=10**9,
        description="score only the first rows of each split; none: all", json_schema_extra=unit("rows"),
    )  # fmt: skip
    fewshot: int = Field(
        0, ge=0, le=10**4, description="examples before each question", json_schema_extra=unit("rows")
    )
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=10**6)] = Field(
        "auto",
        description="rows of one forward pass; `auto`: about 2048 tokens. A lower number takes less memory",
        json_schema_extra=unit("rows"),
    )
    split: Literal["scored", "validation", "train"] = Field(
        "scored",
        description="`scored`: the split that the task is reported on; `validation`: to choose settings by, "
        "refused for a task that is reported on it; `train`: to choose settings by, the training rows that "
        "`tune.reserve` keeps apart",
    )
    windows: int | None = Field(
        None, ge=1, le=10**9,
        description="score only the first windows of each corpus; none: all",
        json_schema_extra=unit("windows"),
    )  # fmt: skip
    kl: bool = Field(
        False,
        description="with each perplexity, the mean Kullback-Leibler divergence of the predictions from the "
        "unpruned model's, in nats a token",
    )
    batch_calibration: bool = Field(
        False,
        description="for tasks whose questions all have the same answers: subtract from the log-likelihood "
        "of each answer its mean over the scored questions (after Zhou et al. 2023, Batch Calibration); "
        "results also hold the score without it. Other tasks are scored as usual",
    )
    precision: Literal["stored", "fp32"] = Field(
        "stored",
        description="`stored`: compute in the precision of the checkpoint; `fp32`: convert it first, which a "
        "CPU without instructions for bf16 computes several times as fast",
    )


class Export(Strict):
    """Release artefacts, written at the end of a run; by default none."""

    formats: tuple[Annotated[str, AfterValidator(partial(known_name, FORMATS))], ...] = Field(
        (),
        description=f"what is written for each task: {listed(FORMATS)}, or a plugin; `tailor formats` "
        "describes them; none: a run keeps the adapters and the healed base",
    )


def _json(value: Any) -> Any:
    """`value` with tuples as lists, and names that YAML reads as numbers as text."""
    if isinstance(value, Mapping):
        return {str(key): _json(held) for key, held in value.items()}
    return [_json(held) for held in value] if isinstance(value, list | tuple) else value


class Recipe(Strict):
    """The complete description of a run."""

    model: Place = Field(description="a local directory, a hub id, or `world` (the bundled model)")
    seed: int = Field(
        42, ge=0, lt=2**64,
        description="decides the shots, the calibration windows and the initial weights of the adapters",
    )  # fmt: skip
    device: Device = Field(
        "auto",
        description="where models are computed: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`: the first GPU if "
        "there is one; also `--device`",
    )
    tasks: tuple[Place, ...] = Field(
        (),
        description="the tasks that the model is tailored to: names or YAML paths (`tailor tasks` lists the "
        "names)",
    )
    data: dict[Name, Place] = Field(
        {},
        description="name of a task or corpus -> a local directory with `{train,validation,test}.jsonl`, "
        "`.csv` or `.parquet`, or a `.txt` for a perplexity corpus, instead of the hub",
    )
    allow_config: tuple[str, ...] = Field(
        (),
        description="unknown attributes of `config.json` to accept, if they do not change the output of a "
        "layer; also `--allow-config`, on every command that reads a model",
    )
    prune: Prune = Field(Prune(), description="what is removed, and how it is chosen")
    heal: Heal | None = Field(
        None,
        description="recovery of the model after pruning; none: the pruned model is tuned directly",
    )
    tune: Tune = Field(Tune(), description="few-shot tuning to each task")
    evaluate: Evaluate = Field(Evaluate(), description="what is scored")
    export: Export = Field(Export(), description="what is written for release")
    keep: Literal["needed", "all"] = Field(
        "needed",
        description="`needed`: the distributions of the unpruned model (`teacher-*`) are deleted once every "
        "stage that learns from them is complete; `all`: they stay, for the next run with other settings",
    )
    sweep: dict[str, JsonValue] | None = Field(
        None,
        description="dotted keys with lists of values, and named `variants`; every combination is run",
    )

    @field_validator("tasks", "allow_config", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @field_validator("sweep", mode="before")
    @classmethod
    def _values_as_json(cls, sweep: Any) -> Any:
        return {key: _json(value) for key, value in sweep.items()} if isinstance(sweep, Mapping) else sweep

    @model_validator(mode="after")
    def _tasks_once(self) -> Recipe:
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError("tasks: each task once")
        return self

    @model_validator(mode="after")
    def _one_way_to_the_ratio(self) -> Recipe:
        if self.heal is None or self.heal.rounds == 1:
            return self
        prune = self.prune
        refused = {
            "trajectory: intermediate plans are not supported with several cuts": bool(prune.trajectory),
            "of: units is too coarse to be divided over several cuts": prune.of == "units",
            "units: whole layers are too coarse to be divided over several cuts": "layers" in prune.units,
            "floor: a share would apply to the model of each cut separately": prune.floor < 1,
        }
        for problem, present in refused.items():
            if present:
                raise ValueError(f"heal.rounds: prune.{problem}; remove it, or set heal.rounds to 1")
        return self
