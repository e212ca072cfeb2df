"""The recipe: one YAML that describes a whole run, as strict and frozen models.

Unknown keys are errors with a suggestion. YAML is read by the 1.2 core schema: `1e-4` is a number, and
`yes` a string.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tailored_llama.errors import RecipeError

Criterion = Literal[
    "random", "l1", "l2", "taylor", "taylor_vector", "taylor_second", "taylor_mix",
    "wanda", "fluctuation", "activation",
]  # fmt: skip
Reduce = Literal["sum", "mean", "max", "prod", "first", "second"]
Unit = Literal["heads", "mlp"]
M = TypeVar("M", bound=BaseModel)
Ratio = Annotated[float, Field(gt=0.0, lt=1.0)]


class Strict(BaseModel):
    """Frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Calibration(Strict):
    """The text the pruning criteria see: `samples` windows of `length` tokens."""

    source: str = "c4"
    """`c4`, `world`, `task` (the prompts), or a .txt, .jsonl or .safetensors (input_ids [n, length]) file."""
    samples: int = Field(10, ge=1)
    length: int = Field(64, ge=2)


class Prune(Strict):
    """What goes, and by which measure. Defaults are LLM-Pruner's published block-wise setting."""

    ratio: Ratio = 0.5
    of: Literal["params", "units"] = "params"
    units: tuple[Unit, ...] = ("heads", "mlp")
    layers: tuple[int, int] | None = None
    criterion: Criterion = "taylor"
    objective: Literal["lm"] = "lm"
    reduce: Reduce = "sum"
    allocate: Literal["uniform", "global"] = "uniform"
    steps: int = Field(1, ge=1)
    align: int = Field(1, ge=1)
    reconstruct: Literal[False] = False
    calibration: Calibration = Calibration()

    @field_validator("units")
    @classmethod
    def _some_units(cls, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        if not units or len(set(units)) != len(units):
            raise ValueError("name each unit kind once: heads, mlp, or both")
        return units

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, layers: tuple[int, int] | None) -> tuple[int, int] | None:
        if layers is not None and not 0 <= layers[0] < layers[1]:
            raise ValueError(f"[{layers[0]}, {layers[1]}] is no range of layers: it needs 0 <= start < end")
        return layers


class Lora(Strict):
    """Low-rank adapters (Hu et al. 2021, LoRA) on all seven projections of every layer."""

    r: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Tune(Strict):
    """Few-shot recovery. Defaults are the paper's, but for batch and warm-up (see recipes/paper-20.yaml)."""

    shots: int = Field(50, ge=1)
    prompt: str = "auto"
    loss: Literal["answer"] = "answer"
    lora: Lora = Lora()
    epochs: int = Field(30, ge=1)
    learning_rate: float = Field(1.0e-4, gt=0)
    warmup: float = Field(0.1, ge=0, le=1)
    batch_size: int = Field(64, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Evaluate(Strict):
    """What is scored, in which wording. `tasks` defaults to the recipe's."""

    tasks: tuple[str, ...] | None = None
    prompt: str = "same"
    perplexity: tuple[str, ...] = ()
    length: int = Field(128, ge=2)
    limit: int | None = Field(None, ge=1)
    fewshot: int = Field(0, ge=0)


class Export(Strict):
    """Release artefacts made at the end of a run."""

    formats: tuple[Literal["hf", "gguf", "onnx"], ...] = ("hf",)


class Recipe(Strict):
    """The whole run."""

    model: str
    seed: int = 42
    tasks: tuple[str, ...] = ()
    data: dict[str, str] = {}
    prune: Prune = Prune()
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()

    @field_validator("tasks", mode="before")
    @classmethod
    def _one_task_is_a_list(cls, tasks: Any) -> Any:
        return [tasks] if isinstance(tasks, str) else tasks

    @model_validator(mode="after")
    def _tasks_once(self) -> Recipe:
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError("tasks: each task once")
        return self


def read_yaml(path: Path) -> Any:
    """The document in `path`, by YAML 1.2; RecipeError with line and column where it is none."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as text ({error}); name a YAML file") from None


def parse_value(text: str) -> Any:
    """One YAML 1.2 value, as `--set KEY=VALUE` takes it."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        raise RecipeError(f"'{text}' is not a YAML value; quote it or mend its brackets") from None


def bundled_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("tailored_llama") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def find_recipe(name: str | Path) -> Path:
    """A path as it is, or the name of a bundled recipe."""
    path = Path(name)
    if path.is_file():
        return path
    bundled = Path(str(resources.files("tailored_llama") / "recipes" / f"{name}.yaml"))
    if bundled.is_file():
        return bundled
    raise RecipeError(
        f"{name}: no such recipe file, and no bundled recipe{suggest(str(name), bundled_recipes())}; "
        f"bundled: {', '.join(bundled_recipes())}"
    )


def suggest(word: str, words: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def override(document: Mapping[str, Any], assignments: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A copy of `document` with dotted keys set: `("prune.ratio", 0.2)`."""
    result: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in document.items()}
    for key, value in assignments:
        parts = key.split(".")
        node = result
        for part in parts[:-1]:
            child = node.get(part)
            node[part] = dict(child) if isinstance(child, Mapping) else {}
            node = node[part]
        node[parts[-1]] = value
    return result


def load_recipe(
    source: str | Path | Mapping[str, Any] | Recipe, assignments: Sequence[tuple[str, Any]] = ()
) -> Recipe:
    """A recipe from a path, a bundled name, a mapping or a Recipe, with `assignments` on top.

    Raises RecipeError naming the file, the dotted key, what is wrong and what would do.
    """
    if isinstance(source, Recipe):
        document, where = source.model_dump(), "recipe"
    elif isinstance(source, Mapping):
        document, where = dict(source), "recipe"
    else:
        path = find_recipe(source)
        document, where = read_yaml(path), str(path)
        if not isinstance(document, Mapping):
            raise RecipeError(f"{where}: a recipe is a mapping of keys (model, tasks, prune, ...)")
    return validate(Recipe, override(document, assignments), where)


def validate(model: type[M], document: Mapping[str, Any], where: str) -> M:
    """`document` as a `model`, or one RecipeError for the first thing wrong in it."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_first_problem(model, error)}") from None


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(model, problem["loc"][:-1])
        return f"unknown key '{key}'{suggest(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"'{key}' is missing; set it in the recipe or by --set {key}=VALUE"
    value = problem["input"]
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]} (it is {value!r})"


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type), part
        assert issubclass(annotation, BaseModel), part
        model = annotation
    return list(model.model_fields)
