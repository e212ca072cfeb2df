"""The stage: a checkpoint directory or a model in; a smaller one, and the plan it was cut by, out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Checkpoint, Weights
from tailored_llama.errors import DataError, PlanError
from tailored_llama.families import Kept, groups, parameter_count, widths
from tailored_llama.prune.calibration import calibration_tokens, check_windows
from tailored_llama.prune.criteria import criterion
from tailored_llama.prune.measure import channel_scores, chosen_groups
from tailored_llama.prune.plan import Plan
from tailored_llama.prune.reduce import over_channels
from tailored_llama.prune.select import Pool, select
from tailored_llama.prune.surgery import CutWeights
from tailored_llama.recipe import Prune, validate

Model: TypeAlias = str | Path | PreTrainedModel
Tokens = Int[Tensor, "samples length"]
log = logging.getLogger(__name__)


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
    **overrides: Any,
) -> Plan:
    """Score `model` (a directory, hub id, `world`, or a model in memory) and plan a cut; nothing is cut.

    `overrides` are keys of `settings`, a recipe's prune. Calibration text is drawn by `seed` as `settings`
    say (`tasks` and `data` as in a recipe), unless `tokens` gives the ids. A model in memory needs
    `tokenizer` for text. Raises RecipeError, CheckpointError (NaN, by tensor), FamilyError, DataError
    (calibration) and PlanError (layers outside the model, a ratio or `align` out of reach).
    """
    weights = checkpoint.open_weights(model, allow_config=allow_config)
    return _plan(model, weights, _settings(settings, overrides), seed, tasks, data or {}, tokens, tokenizer)


def prune(
    model: Model,
    *,
    settings: Prune | None = None,
    seed: int = 42,
    out: str | Path | None = None,
    plan: Plan | str | Path | None = None,
    tasks: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    tokens: Tokens | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    **overrides: Any,
) -> Path | PreTrainedModel:
    """Cut `model` by `plan`, or by one made here as `make_plan` does with the same arguments.

    With `out`, streams a checkpoint directory with plan.json and returns its path, at once where it is
    complete. Without, returns a new model in memory; the given one stays as it is. Raises what `make_plan`
    raises, PlanError for a plan of another model, and OutputError where `out` holds something else or the
    disk has no room.
    """
    wanted = _settings(settings, overrides)
    weights = checkpoint.open_weights(model, allow_config=allow_config)
    data = data or {}
    if isinstance(plan, (str, Path)):
        plan = Plan.load(plan)
    if plan:
        plan.check(weights.config, str(_source(model, weights)["model"]), _source(model, weights)["digest"])
    if out is None:
        if plan:  # what is scored is checked there, what is written is checked as it is written
            checkpoint.check_finite(weights)
        made = plan or _plan(model, weights, wanted, seed, tasks, data, tokens, tokenizer)
        return checkpoint.load_model(CutWeights(weights, made.kept))

    about = {"plan": plan.digest} if plan else _resolved(wanted, seed, tasks, data)
    inputs = _inputs(weights, wanted, data, tokens)
    if checkpoint.completed(out, stage="prune", settings=about, inputs=inputs, seed=seed):
        log.info("%s is complete", out)
        return Path(out)
    with checkpoint.stage_directory(out, stage="prune", settings=about, inputs=inputs, seed=seed) as partial:
        made = plan or _plan(model, weights, wanted, seed, tasks, data, tokens, tokenizer)
        tokenizer_home = weights.directory if isinstance(weights, Checkpoint) else None
        checkpoint.write_checkpoint(CutWeights(weights, made.kept), partial, copy_from=tokenizer_home)
        made.save(partial / "plan.json")
    return Path(out)


def _plan(
    model: Model,
    weights: Weights,
    settings: Prune,
    seed: int,
    tasks: Sequence[str],
    data: Mapping[str, str],
    tokens: Tokens | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> Plan:
    _check_layers(weights, settings)
    if criterion(settings.criterion).needs not in ("nothing", "weights"):
        tokens = _tokens(weights, settings, seed, tasks, data, tokens, tokenizer)
    checkpoint.check_finite(weights)
    kept = plan_units(weights, settings, tokens, seed)
    before = parameter_count(weights.config)
    gone = sum(
        (group.units - len(kept[group.kind][group.layer])) * group.parameters
        for group in groups(weights.config)
        if group.layer in kept.get(group.kind, {})
    )
    log.info("plan: %s of %s parameters stay", f"{before - gone:,}", f"{before:,}")
    return Plan(
        _source(model, weights),
        kept,
        {"before": before, "after": before - gone},
        _resolved(settings, seed, tasks, data),
    )


def plan_units(weights: Weights, settings: Prune, tokens: Tokens | None, seed: int) -> Kept:
    """The units that stay, after `settings.steps` steps that each score what the step before has left.

    The same `tokens` at every step. A step reads the original weights through a view; no cut copy is made.
    """
    original = chosen_groups(weights, settings)
    total = parameter_count(weights.config)
    kept: Kept = {}
    for step in range(1, settings.steps + 1):
        scores = channel_scores(CutWeights(weights, kept) if kept else weights, settings, tokens, seed)
        pools = [
            Pool(
                group,
                tuple(kept.get(group.kind, {}).get(group.layer, range(group.units))),
                tuple(over_channels(scores[group.kind, group.layer]).tolist()),
            )
            for group in original
        ]
        kept = select(pools, settings, step, total)
    return kept


def _settings(settings: Prune | None, overrides: Mapping[str, Any]) -> Prune:
    base = settings or Prune()
    return validate(Prune, {**base.model_dump(), **overrides}, "prune") if overrides else base


def _check_layers(weights: Weights, settings: Prune) -> None:
    layers = len(widths(weights.config))
    if settings.layers and settings.layers[1] > layers:
        raise PlanError(
            f"prune.layers: [{settings.layers[0]}, {settings.layers[1]}] is outside the model, which has "
            f"{layers} decoder layers; the end, which is excluded, can be at most {layers}"
        )


def _tokens(
    weights: Weights,
    settings: Prune,
    seed: int,
    tasks: Sequence[str],
    data: Mapping[str, str],
    tokens: Tokens | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> Tokens:
    vocabulary = int(weights.config.vocab_size)
    if tokens is not None:
        return check_windows(tokens, vocabulary, "tokens")

    def load() -> PreTrainedTokenizerBase:
        if tokenizer is not None:
            return tokenizer
        if isinstance(weights, Checkpoint):
            return checkpoint.load_tokenizer(weights.directory)
        raise DataError("calibration: a model in memory has no tokenizer; pass tokenizer=... or tokens=...")

    return calibration_tokens(
        settings.calibration, load, vocabulary=vocabulary, seed=seed, tasks=tasks, data=data
    )


def _source(model: Model, weights: Weights) -> dict[str, Any]:
    if isinstance(weights, Checkpoint):
        return {"model": str(model), "digest": weights.digest}
    return {"model": getattr(weights.config, "_name_or_path", "") or "in memory", "digest": None}


def _resolved(settings: Prune, seed: int, tasks: Sequence[str], data: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a plan depends on beside the model, as JSON."""
    resolved = {**settings.model_dump(mode="json"), "seed": seed}
    # Tasks and data are read by some calibration sources only; a plan does not depend on the others.
    if settings.calibration.source == "task":
        resolved |= {"tasks": list(tasks), "data": {name: str(data[name]) for name in tasks if name in data}}
    elif settings.calibration.source == "c4" and "c4" in data:
        resolved |= {"data": {"c4": str(data["c4"])}}
    return resolved


def _inputs(
    weights: Weights, settings: Prune, data: Mapping[str, str], tokens: Tokens | None
) -> dict[str, str]:
    """Digests of what the stage reads: the model, and calibration tokens or files."""
    model = weights.digest if isinstance(weights, Checkpoint) else checkpoint.weights_digest(weights)
    inputs = {"model": model}
    source = settings.calibration.source
    file = Path(data.get("c4", source) if source == "c4" else source)
    if tokens is not None:
        inputs["calibration"] = hashlib.sha256(tokens.long().cpu().numpy().tobytes()).hexdigest()
    elif file.is_file():
        inputs["calibration"] = checkpoint.digest_file(file)
    return inputs
