"""The recipe's `heal` and `tune` sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tailored_llama.plugins import LOSSES, known_name, listed
from tailored_llama.recipe.base import MOST_TOKENS, PROJECTIONS, Name, Place, Projection, Strict, unit

MICRO = (
    "padded tokens of one forward pass: a step is divided, so that memory does not depend on its size; "
    "halved when the device runs out of memory"
)
CHECKPOINTING = (
    "recompute the activations of each layer in the backward pass instead of keeping them: more time, a "
    "fraction of the memory"
)
PRECISION = (
    "`fp32`, `bf16`, or `auto`: bf16 where the device computes it natively and, on a CPU, a timed product is "
    "at least 1.3 times as fast, else fp32; never fp16"
)
WARMUP = "share of the steps in which the learning rate rises linearly; it then falls by a cosine"
TOP_K = "tokens of each teacher distribution that are kept where the vocabulary is above 4096"


class Lora(Strict):
    """Low-rank adapters (Hu et al. 2021, LoRA) on projections of every layer, by default on all seven."""

    r: int = Field(8, ge=1, le=2**16, description="rank of the adapters")
    alpha: float = Field(16, gt=0, le=2**20, description="scale: the update is multiplied by alpha / r")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout probability of the adapters' input")
    targets: tuple[Projection, ...] = Field(
        PROJECTIONS, min_length=1,
        description="projections with an adapter, in every layer: `q`, `k`, `v`, `o`, `gate`, `up`, `down`",
    )  # fmt: skip
    dora: bool = Field(
        False, description="train direction and magnitude of the weights separately (Liu et al. 2024, DoRA)"
    )
    rslora: bool = Field(
        False, description="multiply by alpha / sqrt(r) instead (Kalajdzievski 2023, rank-stabilised LoRA)"
    )


class Distill(Strict):
    """Outputs of the unpruned teacher, in addition to its distributions over the shots' answers and
    choices.
    """

    texts: int = Field(
        0, ge=0, le=10**7,
        description="continuations of the shots' prompts that the teacher generates, by seed, and the "
        "student is trained on", json_schema_extra=unit("texts"),
    )  # fmt: skip
    length: int = Field(
        32, ge=2, le=MOST_TOKENS,
        description="new tokens that the teacher generates for each text", json_schema_extra=unit("tokens"),
    )  # fmt: skip
    top_k: int = Field(64, ge=1, le=2**24, description=TOP_K, json_schema_extra=unit("tokens"))


def general_source(source: str) -> str:
    """`source`, or ValueError for rows of tasks."""
    if source == "task":
        raise ValueError("general text cannot be rows of tasks; name c4, world or a file")
    return source


class Replay(Strict):
    """General text mixed into every step, so that the model keeps its general language."""

    source: Place = Field(
        "c4", description="`c4`, `world` or a file, as for `prune.calibration.source`; not `task`"
    )
    share: float = Field(
        0.2, gt=0, lt=1, description="share of general text in the loss, and in the sequences of a step"
    )
    length: int = Field(
        64, ge=2, le=MOST_TOKENS,
        description="length of a window of general text", json_schema_extra=unit("tokens"),
    )  # fmt: skip

    _general = field_validator("source")(general_source)


class EarlyStop(Strict):
    """Stop early and restore the best epoch, by the loss on held-out shots."""

    share: float = Field(
        0.2, gt=0, lt=1, description="share of the shots that is held out and not trained on"
    )
    patience: int = Field(
        3, ge=1, le=10**6,
        description="training stops after this many epochs without a lower loss on them",
        json_schema_extra=unit("epochs"),
    )  # fmt: skip


class Tune(Strict):
    """Few-shot tuning to one task.

    The defaults are the paper's, except for batch size and warm-up (see recipes/paper-20.yaml).
    """

    shots: int = Field(
        50, ge=1, le=10**7,
        description="training examples of a task, from its training split only, balanced over labels",
        json_schema_extra=unit("rows"),
    )  # fmt: skip
    select: Literal["balanced", "diverse"] = Field(
        "balanced",
        description="how shots are drawn: `balanced`: at random from each label; `diverse`: the least "
        "similar of each label",
    )
    overlap: Literal["drop", "refuse"] = Field(
        "drop",
        description="training rows that are also in the scored split: `drop`: they are not drawn, and "
        "counted; `refuse`: they are an error",
    )
    reserve: bool = Field(
        False,
        description="draw no shots from the rows that `evaluate.split: train` scores: 200 training rows of "
        "each task, at most half of them, independent of the seed",
    )
    prompt: Name = Field(
        "auto",
        description="name of a prompt; `auto`: the one in which the model answers the shots best; `all`: "
        "every prompt of the task in turn, another one for each shot in each epoch; scored in the one that "
        "`auto` chooses",
    )
    auto: Literal["untuned", "tuned"] = Field(
        "untuned",
        description="the model that `prompt: auto` scores the prompts with: `untuned`: the model as it is; "
        "`tuned`: tuned on one half of the shots and scored on the other (two tunings a prompt)",
    )
    loss: dict[str, Annotated[float, Field(gt=0, le=10**6)]] = Field(
        {"answer": 1.0},
        description=f"what is minimised: {listed(LOSSES)}, or a plugin; `tailor losses` describes them. One "
        "name, a list of names, or names with weights",
    )
    distill: Distill = Field(Distill(), description="settings of `loss: distill`")
    replay: Replay | None = Field(
        None, description="general text in every step, against forgetting; none: the shots alone"
    )
    early_stop: EarlyStop | None = Field(
        None,
        description="hold out some shots, stop when their loss no longer falls, and keep the best epoch; "
        "none: train for all epochs",
    )
    lora: Lora = Field(Lora(), description="the adapters that are trained")
    epochs: int = Field(
        30, ge=1, le=10**5, description="passes over the shots, with AdamW", json_schema_extra=unit("epochs")
    )
    learning_rate: float = Field(1.0e-4, gt=0, le=1e38, description="peak learning rate")
    warmup: float = Field(0.1, ge=0, le=1, description=WARMUP)
    batch_size: int = Field(64, ge=1, le=10**6, description="shots of a step", json_schema_extra=unit("rows"))
    micro_tokens: int = Field(2048, ge=1, le=2**30, description=MICRO, json_schema_extra=unit("tokens"))
    activation_checkpointing: bool = Field(False, description=CHECKPOINTING)
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description=PRECISION)

    @property
    def drawing(self) -> dict[str, str | int]:
        """The settings that determine the shots and their possible wordings."""
        return {
            "shots": self.shots, "select": self.select, "overlap": self.overlap, "reserve": self.reserve,
            "prompt": self.prompt,
        }  # fmt: skip

    @field_validator("loss", mode="before")
    @classmethod
    def _weights(cls, loss: Any) -> Any:
        named = [loss] if isinstance(loss, str) else loss
        if isinstance(named, (list, tuple)):
            named = dict.fromkeys(map(str, named), 1.0)
        if not isinstance(named, Mapping) or not named:
            raise ValueError("name a loss, a list of losses, or losses with their weights")
        for name in named:
            known_name(LOSSES, str(name))
        return named


class HealLora(Lora):
    """Low-rank adapters for healing; of higher rank than for a task, since the whole model recovers."""

    r: int = Field(32, ge=1, le=2**16, description="rank of the adapters")
    alpha: float = Field(64, gt=0, le=2**20, description="scale: the update is multiplied by alpha / r")
    dropout: float = Field(0, ge=0, lt=1, description="dropout probability of the adapters' input")


class HealText(Strict):
    """General text for healing, in addition to the texts that the unpruned model generates."""

    source: Place = Field(
        "c4", description="`c4`, `world` or a file, as for `prune.calibration.source`; not `task`"
    )
    pieces: int = Field(
        1000, ge=1, le=10**7,
        description="pieces of the text, or as many as it has, the same ones for the same seed",
        json_schema_extra=unit("pieces"),
    )  # fmt: skip
    length: int = Field(
        128, ge=2, le=MOST_TOKENS, description="length of a piece", json_schema_extra=unit("tokens")
    )

    _general = field_validator("source")(general_source)


class Heal(Strict):
    """Distillation of the pruned model from the unpruned one after each of `rounds` cuts (healing: Gromov et
    al. 2024), on text that the unpruned model generates from the shots' prompts, on general text, or on both.
    """

    rounds: int = Field(
        1, ge=1, le=100,
        description="cuts, each removing the same share of what is left, with a healing after each; "
        "`prune.steps` are steps of each cut. More than one not with `prune.of: units`, whole layers, a "
        "`trajectory` or a `floor` below 1", json_schema_extra=unit("cuts"),
    )  # fmt: skip
    texts: int = Field(
        3000, ge=0, le=10**7,
        description="texts that the unpruned model generates for each round, from the prompts of all tasks, "
        "each wording once; 0 only with `heal.text`", json_schema_extra=unit("texts"),
    )  # fmt: skip
    text: HealText | None = Field(
        None, description="general text, in addition to the generated texts; none: only generated texts"
    )
    length: int = Field(
        40, ge=2, le=MOST_TOKENS,
        description="new tokens that it generates for each text", json_schema_extra=unit("tokens"),
    )  # fmt: skip
    top_k: int = Field(64, ge=1, le=2**24, description=TOP_K, json_schema_extra=unit("tokens"))
    lora: HealLora | None = Field(
        HealLora(),
        description="the adapters, merged into the model after each round; none: all weights of the decoder "
        "layers are trained, at a learning rate of a tenth",
    )
    epochs: int = Field(
        2, ge=1, le=10**5, description="passes over the texts, with AdamW", json_schema_extra=unit("epochs")
    )
    learning_rate: float = Field(3.0e-4, gt=0, le=1e38, description="peak learning rate")
    warmup: float = Field(0.1, ge=0, le=1, description=WARMUP)
    batch_size: int = Field(
        16, ge=1, le=10**6, description="texts of a step", json_schema_extra=unit("texts")
    )
    micro_tokens: int = Field(2048, ge=1, le=2**30, description=MICRO, json_schema_extra=unit("tokens"))
    activation_checkpointing: bool = Field(False, description=CHECKPOINTING)
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description=PRECISION)

    @model_validator(mode="after")
    def _something_to_read(self) -> Heal:
        if not self.texts and self.text is None:
            raise ValueError("texts: 0 leaves no training data; set text as well")
        return self
