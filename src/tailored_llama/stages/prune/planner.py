"""The steps of a plan: score and select, then score the remaining units again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import torch

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import PlanError
from tailored_llama.families import (
    MODEL,
    Group,
    Kept,
    Kind,
    Sizes,
    check_kinds,
    groups,
    mac_sizes,
    parameter_sizes,
    widths,
)
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune.criterion import criterion_named
from tailored_llama.stages.prune.pools import Pool
from tailored_llama.stages.prune.reduce import over_channels
from tailored_llama.stages.prune.scores import ChannelScores, Device, Text, channel_scores, layer_scores
from tailored_llama.stages.prune.select import check, select
from tailored_llama.stages.prune.surgery import CutWeights, layers_after

PARTS: tuple[Kind, ...] = ("heads", "mlp")
"""The unit kinds of a layer."""


def plan_units(
    weights: Weights, settings: Prune, text: Text, seed: int, *, device: Device = None
) -> dict[float, Kept]:
    """{ratio: kept units} for each ratio of `settings.trajectory`, and last for `settings.ratio`.

    Each of `settings.steps` equal steps, and each step to a ratio of the trajectory, scores the units that
    the previous step kept, on the same `text`; so plans are nested. A step reads the original weights through
    a view; no pruned copy is created.
    """
    sizes = measured_by(weights, settings)
    plans: dict[float, Kept] = {}
    kept: Kept = {}
    for share in shares(settings):
        view = CutWeights(weights, kept) if kept else weights
        within = _renumbered(settings, layers_after(weights.config, kept))
        scores = _measured(view, within, text, seed, device) if within else {}
        kept = select(_scored(pools(weights, settings, kept), scores, weights, kept), settings, share, sizes)
        if share in settings.trajectory or share == settings.ratio:
            plans[share] = kept
    return plans


def expected_cut(weights: Weights, settings: Prune) -> Kept:
    """A cut of the size in `settings`, of arbitrary units: the sizes are known before scoring."""
    uniform = settings.model_copy(update={"allocate": "uniform"})
    sizes = measured_by(weights, settings)
    return select(pools(weights, settings, {}), uniform, settings.ratio, sizes, warn=False)


def shares(settings: Prune) -> list[float]:
    """The removed share after each step, ascending; the last is `settings.ratio`."""
    equal = [step / settings.steps * settings.ratio for step in range(1, settings.steps)]
    # A ratio of the trajectory that equals a step up to rounding does not add a step.
    between = [s for s in equal if all(abs(s - ratio) > 1e-9 for ratio in settings.trajectory)]
    return sorted({*between, *settings.trajectory, settings.ratio})


def check_request(weights: Weights, settings: Prune) -> None:
    """PlanError or FamilyError for impossible settings, before anything is measured."""
    layer_count = len(widths(weights.config))
    if settings.layers and settings.layers[1] > layer_count:
        raise PlanError(
            f"prune.layers: [{settings.layers[0]}, {settings.layers[1]}] is outside the model, which has "
            f"{layer_count} decoder layers; the end, which is excluded, can be at most {layer_count}"
        )
    check_kinds(weights.config, settings.units)
    rule = criterion_named(settings.criterion)
    if rule.layer and settings.units != ("layers",):
        raise PlanError(
            f"prune.criterion: {rule.name} scores whole layers only; choose another, or prune.units: [layers]"
        )
    if rule.needs == "inputs" and "hidden" in settings.units:
        raise PlanError(
            f"prune.criterion: {rule.name} is not defined for residual channels (hidden); choose a taylor "
            f"one, l1, l2 or random"
        )
    if (
        settings.alike
        and settings.layers not in (None, (0, layer_count))
        and {*settings.units} - {"hidden", "layers"}
    ):
        raise PlanError("prune.alike: excluded layers cannot become like the others; remove prune.layers")
    check(pools(weights, settings, {}), settings, measured_by(weights, settings))


def measured_by(weights: Weights, settings: Prune) -> Sizes | None:
    """The size measure of `settings.of`; None for units."""
    if settings.of == "units":
        return None
    if settings.of == "macs":
        return mac_sizes(weights.config)
    if settings.of == "bytes":
        return parameter_sizes(weights.config, lambda tensor: weights.dtype(tensor).itemsize)
    return parameter_sizes(weights.config)


def pools(weights: Weights, settings: Prune, kept: Kept) -> list[Pool]:
    """The removable units of each chosen group of the original model, given `kept`; scores are 0."""
    start, end = settings.layers or (0, len(widths(weights.config)))
    result = []
    for group in groups(weights.config):
        if group.kind not in settings.units:
            continue
        alive = living(group, kept)
        if group.kind == "layers":
            fixed = tuple(layer for layer in alive if not start <= layer < end)
            alive = [layer for layer in alive if start <= layer < end]
        elif group.layer != MODEL and not start <= group.layer < end:
            continue
        if alive:
            result.append(
                Pool(group, tuple(alive), (0.0,) * len(alive), fixed if group.kind == "layers" else ())
            )
    return result


def living(group: Group, kept: Kept) -> list[int]:
    """The remaining units of a group of the original model."""
    if group.layer != MODEL and group.layer not in kept.get("layers", {}).get(MODEL, [group.layer]):
        return []
    units = kept.get(group.kind, {}).get(group.layer)
    if units is None:
        units = list(range(group.units))
        heads = kept.get("heads", {}).get(group.layer)
        if group.kind == "query_heads" and heads is not None:
            units = [unit for unit in units if unit // (group.units // group.blocks) in heads]
    return units


def _renumbered(settings: Prune, layers: list[int]) -> Prune | None:
    """The settings for a model with only these layers; None if none of them is pruned."""
    if settings.layers is None:
        return settings
    start, end = (sum(layer < bound for layer in layers) for bound in settings.layers)
    if start < end:
        return settings.model_copy(update={"layers": (start, end)})
    return settings.model_copy(update={"layers": None}) if "hidden" in settings.units else None


def _measured(view: Weights, settings: Prune, text: Text, seed: int, device: Device) -> ChannelScores:
    """Scores of the chosen groups of the remaining model; a layer's score covers all its heads and MLP
    channels.
    """
    if settings.units == ("layers",):
        of_layers, scores = layer_scores(view, settings, text, seed, device=device), {}
    else:
        scores = channel_scores(view, settings, text, seed, device=device)
        of_layers = defaultdict(float)
        for (kind, layer), each in scores.items():
            of_layers[layer] += float(each.sum()) if kind in PARTS else 0.0
    if "layers" in settings.units:
        every = [of_layers.get(layer, 0.0) for layer in range(len(widths(view.config)))]
        scores["layers", MODEL] = torch.tensor(every, dtype=torch.float64)[:, None]
    return scores


def _scored(empty: list[Pool], scores: ChannelScores, weights: Weights, kept: Kept) -> list[Pool]:
    """The pools with the scores that were measured on the model restricted to `kept`."""
    numbers = {old: new for new, old in enumerate(layers_after(weights.config, kept))} | {MODEL: MODEL}

    def score(pool: Pool) -> Pool:
        key = (pool.group.kind, numbers[pool.group.layer])
        if key not in scores:  # each KV head has one query head left: nothing to select
            return pool
        units = over_channels(scores[key]).tolist()
        if pool.group.kind == "layers":
            units = [units[numbers[layer]] for layer in pool.alive]
        return replace(pool, scores=tuple(units))

    return [score(pool) for pool in empty]
