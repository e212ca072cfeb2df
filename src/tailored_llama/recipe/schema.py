"""The keys of a recipe, as strict and frozen models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from tailored_llama.names import LONGEST_PATH, check_name, check_path

Criterion = Literal[
    "random", "l1", "l2", "taylor", "taylor_vector", "taylor_second", "taylor_mix",
    "wanda", "fluctuation", "activation", "block_influence",
]  # fmt: skip
Reduce = Literal["sum", "mean", "max", "prod", "first", "second"]
Unit = Literal["heads", "query_heads", "mlp", "hidden", "layers"]
Precision = Literal["fp32", "bf16"]
LossName = Literal["answer", "choice", "distill"]
Projection = Literal["q", "k", "v", "o", "gate", "up", "down"]
LOSS_NAMES: tuple[LossName, ...] = get_args(LossName)
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)
Ratio = Annotated[float, Field(gt=0.0, lt=1.0)]
Layer = Annotated[int, Field(le=10**4)]
Name = Annotated[str, AfterValidator(check_name)]
"""Of a task or prompt: part of a file's name."""
Place = Annotated[str, AfterValidator(check_path)]
"""A path, or a name that stands for one."""
MOST_TOKENS = 2**24
"""Of a text: beyond any context."""


class Strict(BaseModel):
    """Frozen, and closed to keys it does not know, to NaN and to infinity.

    Every number has an upper bound as well: beyond it is a slip of the keyboard, or an attempt to keep the
    machine busy.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, allow_inf_nan=False, str_max_length=LONGEST_PATH
    )


class Calibration(Strict):
    """The text the pruning criteria see: `samples` windows of `length` tokens."""

    source: Place = "c4"
    """`c4`, `world`, `task` (the prompts), or a .txt, .jsonl or .safetensors (input_ids [n, length]) file."""
    samples: int = Field(10, ge=1, le=10**6)
    length: int = Field(64, ge=2, le=MOST_TOKENS)


class Prune(Strict):
    """What goes, and by which measure. Defaults are LLM-Pruner's published block-wise setting."""

    ratio: Ratio = 0.5
    of: Literal["params", "macs", "bytes", "units"] = "params"
    units: tuple[Unit, ...] = ("heads", "mlp")
    layers: tuple[Layer, Layer] | None = None
    criterion: Criterion = "taylor"
    objective: Literal["lm", "margin"] = "lm"
    reduce: Reduce = "sum"
    allocate: Literal["uniform", "global"] = "uniform"
    normalise: Literal["auto", "none", "kind", "block"] = "auto"
    steps: int = Field(1, ge=1, le=1000)
    trajectory: tuple[Ratio, ...] = Field((), max_length=1000)
    align: int = Field(1, ge=1, le=2**20)
    floor: float = Field(1, gt=0, le=2**20)
    alike: bool = False
    reconstruct: bool = False
    precision: Precision = "fp32"
    """Of the matrix products while measuring."""
    calibration: Calibration = Calibration()

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
            raise ValueError(f"trajectory: its ratios lie on the way to ratio, which is {self.ratio:g}")
        return self

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, layers: tuple[int, int] | None) -> tuple[int, int] | None:
        if layers is not None and not 0 <= layers[0] < layers[1]:
            raise ValueError(f"[{layers[0]}, {layers[1]}] is no range of layers: it needs 0 <= start < end")
        return layers


class Lora(Strict):
    """Low-rank adapters (Hu et al. 2021, LoRA) on projections of every layer, by default on all seven."""

    r: int = Field(8, ge=1, le=2**16)
    alpha: float = Field(16, gt=0, le=2**20)
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: tuple[Projection, ...] = Field(PROJECTIONS, min_length=1)
    dora: bool = False
    """Direction and magnitude apart (Liu et al. 2024, DoRA)."""
    rslora: bool = False
    """Scaled by alpha / sqrt(r), not alpha / r (Kalajdzievski 2023, rsLoRA)."""


class Distill(Strict):
    """What the unpruned teacher gives beside its distributions over the shots' answers and choices."""

    texts: int = Field(0, ge=0, le=10**7)
    """Continuations of the shots' prompts that the teacher writes, by seed, and the student learns from."""
    length: int = Field(32, ge=2, le=MOST_TOKENS)
    """Tokens that the teacher writes of each text."""
    top_k: int = Field(64, ge=1, le=2**24)
    """Tokens of each distribution that are kept, of vocabularies too large to keep it whole."""


class Replay(Strict):
    """General text mixed into every step, so that language is not unlearnt."""

    source: Place = "c4"
    """As prune.calibration.source, but not `task`: its rows would be further labels."""
    share: float = Field(0.2, gt=0, lt=1)
    """Of the loss, and of the sequences of a step."""
    length: int = Field(64, ge=2, le=MOST_TOKENS)
    """Tokens of a window."""

    @field_validator("source")
    @classmethod
    def _general(cls, source: str) -> str:
        if source == "task":
            raise ValueError("general text is replayed, no rows of tasks; name c4, world or a file")
        return source


class EarlyStop(Strict):
    """Stop, and go back to the best epoch, by the loss on shots that are held out."""

    share: float = Field(0.2, gt=0, lt=1)
    """Of the shots, held out and not trained on."""
    patience: int = Field(3, ge=1, le=10**6)
    """Epochs without a lower loss."""


class Tune(Strict):
    """Few-shot recovery. Defaults are the paper's, but for batch and warm-up (see recipes/paper-20.yaml)."""

    shots: int = Field(50, ge=1, le=10**7)
    select: Literal["balanced", "diverse"] = "balanced"
    """Of each label at random, or those most unlike one another."""
    overlap: Literal["drop", "refuse"] = "drop"
    """What becomes of training rows that are also in the scored split."""
    prompt: Name = "auto"
    auto: Literal["untuned", "tuned"] = "untuned"
    """What `prompt: auto` asks the shots: the model as it is, or tuned on the half that is not asked."""
    loss: dict[LossName, Annotated[float, Field(gt=0, le=10**6)]] = Field({"answer": 1.0})
    """A name, a list of names, or names with their weights; always a mapping once read."""
    distill: Distill = Distill()
    replay: Replay | None = None
    early_stop: EarlyStop | None = None
    lora: Lora = Lora()
    epochs: int = Field(30, ge=1, le=10**5)
    learning_rate: float = Field(1.0e-4, gt=0, le=1e38)
    warmup: float = Field(0.1, ge=0, le=1)
    batch_size: int = Field(64, ge=1, le=10**6)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @property
    def drawing(self) -> dict[str, Any]:
        """What decides which rows are the shots and in which words they may be put."""
        return {key: getattr(self, key) for key in ("shots", "select", "overlap", "prompt")}

    @field_validator("loss", mode="before")
    @classmethod
    def _weights(cls, loss: Any) -> Any:
        named = [loss] if isinstance(loss, str) else loss
        if isinstance(named, (list, tuple)):
            named = dict.fromkeys(map(str, named), 1.0)
        if not isinstance(named, Mapping) or not named:
            raise ValueError("name a loss, a list of losses, or losses with their weights")
        for name in named:
            if name not in LOSS_NAMES:
                raise ValueError(f"there is no loss '{name}'; name one or more of {', '.join(LOSS_NAMES)}")
        return named


class HealLora(Lora):
    """Wider than for a task, since the whole model has to come back."""

    r: int = Field(32, ge=1, le=2**16)
    alpha: float = Field(64, gt=0, le=2**20)
    dropout: float = Field(0, ge=0, lt=1)


class Heal(Strict):
    """The whole model learns again from its unpruned self after each of `rounds` cuts (healing: Gromov et al.
    2024), by distillation on text that the unpruned model writes from the shots' prompts.
    """

    rounds: int = Field(1, ge=1, le=100)
    """Cuts, each taking the same share of what is left, and after each a healing with new text."""
    texts: int = Field(3000, ge=1, le=10**7)
    """Written for each round, from the prompts of all tasks."""
    length: int = Field(40, ge=2, le=MOST_TOKENS)
    """Tokens that the unpruned model writes of each text."""
    top_k: int = Field(64, ge=1, le=2**24)
    """Tokens of each distribution that are kept, of vocabularies too large to keep it whole."""
    lora: HealLora = HealLora()
    """Folded into the model after the round."""
    epochs: int = Field(2, ge=1, le=10**5)
    learning_rate: float = Field(3.0e-4, gt=0, le=1e38)
    warmup: float = Field(0.1, ge=0, le=1)
    batch_size: int = Field(16, ge=1, le=10**6)
    """Texts of a step."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Evaluate(Strict):
    """What is scored, in which wording. `tasks` defaults to the recipe's."""

    tasks: tuple[Place, ...] | None = None
    prompt: Name = "same"
    perplexity: tuple[Place, ...] = ()
    length: int = Field(128, ge=2, le=MOST_TOKENS)
    limit: int | None = Field(None, ge=1, le=10**9)
    fewshot: int = Field(0, ge=0, le=10**4)
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=10**6)] = "auto"
    """Rows of one forward pass; `auto`: as many as make a good load. 1 takes the least memory."""
    split: Literal["scored", "validation"] = "scored"
    """`validation`: to choose settings by, for tasks that are not scored on it."""


class Export(Strict):
    """Release artefacts made at the end of a run."""

    formats: tuple[Literal["hf", "gguf", "onnx"], ...] = ("hf",)


class Recipe(Strict):
    """The whole run."""

    model: Place
    seed: int = Field(42, ge=0, lt=2**64)
    tasks: tuple[Place, ...] = ()
    data: dict[Name, Place] = {}
    allow_config: tuple[str, ...] = ()
    """Attributes of config.json to accept, which no table knows and which do not change a layer's output."""
    prune: Prune = Prune()
    heal: Heal | None = None
    """Without it, tuning starts from the model as it was cut."""
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    sweep: dict[str, Any] | None = None
    """Dotted keys with lists of values, and named `variants`: `tailor run` runs every combination."""

    @field_validator("tasks", "allow_config", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

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
            "trajectory: several cuts make no plans on the way": bool(prune.trajectory),
            "of: units is too coarse to be shared out over several cuts": prune.of == "units",
            "units: whole layers are too coarse to be shared out over several cuts": "layers" in prune.units,
            "floor: a share would be taken of each cut's model anew": prune.floor < 1,
        }
        for problem, there in refused.items():
            if there:
                raise ValueError(f"heal.rounds: prune.{problem}; leave it out, or set heal.rounds to 1")
        return self
