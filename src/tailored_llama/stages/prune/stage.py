"""The prune stage: from a checkpoint directory or a model to a smaller one, with its plan."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack, overload

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Checkpoint, Weights
from tailored_llama.checkpoint.lineage import CUT, one_after_another, source_of, what_was_cut
from tailored_llama.data import load_task
from tailored_llama.families import parameter_count
from tailored_llama.machine import device_named
from tailored_llama.memory import memory_for
from tailored_llama.plugins import CRITERIA
from tailored_llama.recipe import Prune, settings_of
from tailored_llama.recipe.keywords import PruneKeys
from tailored_llama.results import Cut, PlanSource
from tailored_llama.stage import Out, Stage, complete
from tailored_llama.stage.inputs import (
    family_inputs,
    merged,
    model_inputs,
    plugin_inputs,
    task_inputs,
    text_inputs,
    text_name,
    tokenizer_inputs,
)
from tailored_llama.stages.prune.arguments import Arguments, Model
from tailored_llama.stages.prune.calibration import Source
from tailored_llama.stages.prune.objective import Tokens
from tailored_llama.stages.prune.plan import Plan, save_trajectory
from tailored_llama.stages.prune.planner import check_request, expected_cut, plan_units
from tailored_llama.stages.prune.reconstruct import Reconstructed
from tailored_llama.stages.prune.surgery import CutWeights, config_after
from tailored_llama.strict_json import Json

log = logging.getLogger(__name__)


@checkpoint.takes_allow_config
def make_plan(
    model: Model,
    *,
    settings: Prune | None = None,
    seed: int = 42,
    tasks: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    tokens: Tokens | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    out: str | Path | None = None,
    **overrides: Unpack[PruneKeys],
) -> Plan:
    """Score `model` (a directory, hub id, `world`, or a model in memory) and plan a cut; nothing is cut.

    With a `trajectory` in `settings`, this is its last plan. `overrides` are single keys of `settings`, the
    `prune` section of a recipe. Calibration text is drawn with `seed` according to `settings` (`tasks` and
    `data` as in a recipe), unless `tokens` gives the ids. A model in memory needs `tokenizer` for text.
    Layers are computed on `device`; the default for a model on disk is the GPU if there is one. Raises
    RecipeError, CheckpointError (NaN, with the tensor), FamilyError (units that the model does not have),
    DataError (calibration) and PlanError (layers outside the model; a ratio, `align`, `floor` or number of
    steps that cannot be met). With `out`, the plan is also saved to that file, which must be new or a plan.
    """
    if out is not None:
        Plan.check_place(out)
    plans = make_plans(
        model, settings=settings, seed=seed, tasks=tasks, data=data, tokens=tokens, tokenizer=tokenizer,
        device=device, **overrides,
    )  # fmt: skip
    made = plans[max(plans)]
    if out is not None:
        made.save(out)
    return made


@checkpoint.takes_allow_config
@memory_for("prune", "lower prune.calibration.samples or prune.calibration.length")
def make_plans(
    model: Model,
    *,
    settings: Prune | None = None,
    seed: int = 42,
    tasks: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    tokens: Tokens | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    **overrides: Unpack[PruneKeys],
) -> dict[float, Plan]:
    """{ratio: plan} for each ratio of the `trajectory` and for `ratio`; see `make_plan`.

    Plans are nested: each keeps only units that the plans of lower ratios keep.
    """
    settings = settings_of(Prune, settings, "prune", **overrides)
    request = _Request(settings, seed, tasks, data or {}, tokens, tokenizer, device)
    return _plans(model, checkpoint.open_weights(model), request)


@overload
def prune(model: Model, *, out: Out, **arguments: Unpack[Arguments]) -> Path: ...
@overload
def prune(model: Model, *, out: None = None, **arguments: Unpack[Arguments]) -> PreTrainedModel: ...
@checkpoint.takes_allow_config
@memory_for("prune", "lower prune.calibration.samples or prune.calibration.length")
def prune(
    model: Model,
    *,
    settings: Prune | None = None,
    seed: int = 42,
    out: Out | None = None,
    plan: Plan | str | Path | None = None,
    tasks: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    tokens: Tokens | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    **overrides: Unpack[PruneKeys],
) -> Path | PreTrainedModel:
    """Cut `model` by `plan`, by default the plan of `make_plan` with the same arguments.

    With `out`, writes a checkpoint directory with plan.json (and the nested plans of a `trajectory`, which
    can be passed as `plan`) and returns its path; a complete one is reused. Without `out`, returns a new
    model in memory and does not change the given one. With `settings.reconstruct`, reconstruction.json has
    the errors before and after. Raises the errors of `make_plan`, PlanError for a plan of another model, and
    OutputError if `out` contains something else or the disk is too full.
    """
    settings = settings_of(Prune, settings, "prune", **overrides)
    request = _Request(settings, seed, tasks, data or {}, tokens, tokenizer, device)
    if isinstance(plan, (str, Path)):
        plan = Plan.load(plan)
    # Attributes that were accepted for the plan are accepted for the cut.
    weights = checkpoint.open_weights(model, allow_config=plan.accepted if plan else ())
    if plan:
        source = _source(model, weights)
        plan.check(weights.config, str(model if source.digest else source.model), source.digest)
    if out is None:
        if plan:  # otherwise scoring checks the weights; written weights are checked when written
            checkpoint.check_finite(weights)
        used_plan = plan or max(_plans(model, weights, request).items())[1]
        return checkpoint.load_model(_cut(weights, used_plan, request))

    about: dict[str, Any] = {"plan": plan.digest} if plan else request.identity()
    if plan and request.settings.reconstruct:
        about["reconstruct"] = request.identity()

    def produce(folder: Path) -> None:
        _write(folder, model, weights, plan, request)

    inputs = merged([_model_inputs(weights), request.inputs])
    return complete(Stage("prune", about, inputs, produce, seed=seed), out)


def _write(folder: Path, model: Model, weights: Weights, plan: Plan | None, request: _Request) -> None:
    """Plan (unless `plan` is given), cut, and write the result to `folder`."""
    home = weights.directory if isinstance(weights, Checkpoint) else None
    if not plan:  # before the long part
        check_request(weights, request.settings)
        expected = CutWeights(weights, expected_cut(weights, request.settings))
        checkpoint.check_room(expected, folder, copy_from=home)
    plans = {} if plan else _plans(model, weights, request)
    used_plan = plan or plans[request.settings.ratio]
    cut = _cut(weights, used_plan, request)
    checkpoint.write_checkpoint(cut, folder, copy_from=home)
    used_plan.save(folder / "plan.json")
    earlier = what_was_cut(home) if home else None
    if earlier is not None and earlier.params is not None:
        both = one_after_another(earlier, Cut.model_validate_json(used_plan.to_json()))
        checkpoint.write_json(folder / CUT, both.to_json())
    if isinstance(cut, Reconstructed):
        checkpoint.write_json(folder / "reconstruction.json", cut.record)
    save_trajectory({ratio: plans[ratio] for ratio in request.settings.trajectory if plans}, folder)


@dataclass(frozen=True)
class _Request(Source):
    """All inputs of a plan except the model."""

    device: str | None

    def place(self, weights: Weights) -> str | None:
        """The device on which layers are computed; None for the device of the weights."""
        in_memory = not isinstance(weights, Checkpoint)
        return None if self.device is None and in_memory else device_named(self.device)

    def resolved(self) -> dict[str, Json]:
        """All dependencies of a plan except the model and the contents of files, as JSON."""
        resolved: dict[str, Json] = {**self.settings.model_dump(mode="json"), "seed": self.seed}
        # Tasks and data are read by some calibration sources only; a plan does not depend on the others.
        source = self.settings.calibration.source
        if source == "task":
            places = {name: str(self.data[name]) for name in self.tasks if name in self.data}
            resolved |= {"tasks": list(self.tasks), "data": places}
        elif source == "c4" and "c4" in self.data:
            resolved |= {"data": {"c4": str(self.data["c4"])}}
        return resolved

    def identity(self) -> dict[str, Any]:
        """The same without paths, whose contents are in the inputs."""
        settings = self.settings.model_dump(mode="json")
        source = self.settings.calibration.source
        text = "tokens" if self.tokens is not None else text_name(source, self.c4)
        settings["calibration"]["source"] = text
        return settings | ({"tasks": [load_task(name).name for name in self.tasks]} if text == "task" else {})

    def inputs(self) -> dict[str, str]:
        """Digests of calibration tokens, text or tasks, of a tokenizer that was passed as an object, and of a
        criterion that is a plugin."""
        inputs = tokenizer_inputs(self.tokenizer) | plugin_inputs(CRITERIA, [self.settings.criterion])
        source = self.settings.calibration.source
        if self.tokens is not None:
            ids = self.tokens.long().cpu().numpy().tobytes()
            return inputs | {"calibration": hashlib.sha256(ids).hexdigest()}
        if source == "task":
            for task in map(load_task, self.tasks):
                inputs |= task_inputs(task, self.data.get(task.name))
        return inputs | text_inputs("calibration", source, self.c4)

    @property
    def c4(self) -> dict[str, str]:
        """The local file that replaces C4, if there is one."""
        return {"c4": self.data["c4"]} if "c4" in self.data else {}


def _plans(model: Model, weights: Weights, request: _Request) -> dict[float, Plan]:
    """The plan for each ratio of the trajectory, and for the ratio itself."""
    check_request(weights, request.settings)
    names = checkpoint.remembered(weights.config)
    accepted = {"allow_config": names} if names else {}
    device, text = request.place(weights), request.text(weights)
    checkpoint.check_finite(weights)
    plans = {}
    for ratio, kept in plan_units(weights, request.settings, text, request.seed, device=device).items():
        if not kept:
            log.warning("prune.ratio: %s is less than one unit of any group; nothing is removed", ratio)
        before = parameter_count(weights.config)
        after = parameter_count(config_after(weights.config, kept))
        log.info("plan: keeps %s of %s parameters", f"{after:,}", f"{before:,}")
        params = {"before": before, "after": after}
        settings = {**request.resolved(), "ratio": ratio, **accepted}
        plans[ratio] = Plan(_source(model, weights), kept, params, settings)
    return plans


def _cut(weights: Weights, plan: Plan, request: _Request) -> CutWeights | Reconstructed:
    """The cut weights, reconstructed if `settings.reconstruct`."""
    cut = CutWeights(weights, plan.kept)
    if not request.settings.reconstruct:
        return cut
    return Reconstructed(
        cut,
        request.windows(weights),
        precision=request.settings.precision,
        device=request.place(weights),
    )


def _source(model: Model, weights: Weights) -> PlanSource:
    if isinstance(weights, Checkpoint):
        return source_of(str(model), weights.directory, weights.config, weights.digest)
    name = getattr(weights.config, "_name_or_path", "")
    return PlanSource(model=checkpoint.public_name(name) if name else "in memory", digest=None)


def _model_inputs(weights: Weights) -> Callable[[], dict[str, str]]:
    if isinstance(weights, Checkpoint):
        return model_inputs("model", weights.directory)
    known = {"model": checkpoint.weights_digest(weights), **family_inputs(weights.config.model_type)}
    return lambda: known
