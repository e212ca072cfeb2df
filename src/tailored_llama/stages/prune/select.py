"""Selection of the kept units: a pure function of scores, settings and the table of groups, without models or
tensors.

The amount is a share `of: units`, counted exactly as in LLM-Pruner (Ma et al. 2023), or of the model's size
in parameters, bytes or multiply-accumulates (budget.py). It is distributed `uniform`, with the same share for
every group, or `global`, by the lowest scores of all groups. Within a group the units with the lowest scores
are removed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil

from tailored_llama.errors import PlanError
from tailored_llama.families import MODEL, Kept, Sizes
from tailored_llama.recipe import Prune
from tailored_llama.stages.prune.budget import CLOSE, SIZES, Tally, check_reach, even, ranked
from tailored_llama.stages.prune.criterion import criterion_named
from tailored_llama.stages.prune.pools import Pool, Track, least_left, tracks

log = logging.getLogger(__name__)


def check(pools: Sequence[Pool], settings: Prune, sizes: Sizes | None) -> None:
    """PlanError if `settings` cannot be met with these pools, for any scores."""
    cut = tracks(pools, settings)
    if sizes:
        check_reach(Tally(cut, sizes), settings.of, settings.ratio, sizes.total())
    else:
        _check_floor(pools, settings)
    removable = sum(track.steps for track in cut)
    if settings.steps > max(1, removable):
        raise PlanError(
            f"prune.steps: {settings.steps} is more than the {removable} steps in which the chosen units can "
            f"be removed; choose at most {removable}"
        )


def select(
    pools: Sequence[Pool], settings: Prune, share: float, sizes: Sizes | None, *, warn: bool = True
) -> Kept:
    """The kept units when `share` is removed; groups that are not cut are not listed.

    `sizes` measures the original model by `settings.of`; None counts units. `warn` logs if the final share
    deviates by more than half a percent. Every group of a layer keeps at least the `floor`. Widths are
    multiples of `align`: channels always, heads x head_dim if a group has enough heads. With `alike` all
    layers keep the same numbers. Raises PlanError for an `align` or a ratio that cannot be met.
    """
    cut = tracks(pools, settings)
    tally = Tally(cut, sizes)
    if sizes:
        total = sizes.total()
        check_reach(tally, settings.of, settings.ratio, total)
        if settings.allocate == "uniform":
            positions = even(tally, share, total)
        else:
            positions = ranked(tally.place([0] * len(cut)), share, total, normalisation(settings))
        missed = 1 - tally.at(positions) / total - share
        if warn and share == settings.ratio and abs(missed) > 2 * CLOSE * min(share, 1 - share):
            noun = SIZES[settings.of]
            log.warning("prune.ratio: %.4f of the %s was the nearest to %.4f", share + missed, noun, share)
    elif settings.allocate == "uniform":
        positions = [_uniform(track, share) for track in cut]
    elif settings.alike:
        positions = ranked(tally, share, sum(p.size * p.group.blocks for p in pools), normalisation(settings))
    else:
        positions = _global(cut, share, normalisation(settings))
    return _kept(cut, positions)


def normalisation(settings: Prune) -> str:
    """The normalisation that `auto` stands for. Scores from gradients of the loss have a common scale in all
    layers and kinds; magnitudes and activations do not. With `of: units`, scores are compared as in
    LLM-Pruner.
    """
    if settings.normalise != "auto":
        return settings.normalise
    by_size = criterion_named(settings.criterion).needs in ("weights", "inputs")
    return "block" if by_size and settings.of != "units" else "none"


def _kept(cut: Sequence[Track], positions: Sequence[int]) -> Kept:
    kept: Kept = {}
    for track, position in zip(cut, positions, strict=True):
        for pool in track.pools:
            units = pool.keeping(int(track.left(position)))
            if len(units) < pool.group.units:
                kept.setdefault(pool.group.kind, {})[pool.group.layer] = units
    return consistent(kept, {(p.group.kind, p.group.layer): p for track in cut for p in track.pools})


def consistent(kept: Kept, pools: dict[tuple[str, int], Pool]) -> Kept:
    """`kept` without units of removed layers and query heads of removed KV heads."""
    layers = kept.get("layers", {}).get(MODEL)
    tidy: Kept = {}
    for kind, groups in kept.items():
        for layer, units in groups.items():
            if layers is not None and layer not in (MODEL, *layers):
                continue
            present = units
            heads = kept.get("heads", {}).get(layer)
            if kind == "query_heads":
                group = pools[kind, layer].group
                size = group.units // group.blocks
                present = [u for u in units if heads is None or u // size in heads]
                if len(present) == size * len(heads if heads is not None else range(group.blocks)):
                    continue
            tidy.setdefault(kind, {})[layer] = present
    return tidy


def _check_floor(pools: Sequence[Pool], settings: Prune) -> None:
    for pool in pools:
        least = least_left(pool, settings.floor)
        if settings.allocate == "uniform" and least > max(1, ceil(pool.size * (1 - settings.ratio) - 1e-9)):
            raise PlanError(
                f"prune.floor: {settings.floor:g} keeps {least} of {pool.size} {pool.group.kind}, and a "
                f"ratio of {settings.ratio:g} of the units leaves fewer; lower one of them"
            )


def _uniform(track: Track, share: float) -> int:
    """The position that keeps int(n0 (1 - share)) of n0 original channels, rounded to complete heads."""
    widths = []
    for pool in track.pools:
        channels = pool.group.channels
        dropped = pool.left * channels - int(pool.size * channels * (1 - share))
        widths.append(pool.left - max(0, dropped) // channels)
    return track.nearest(1 - min(widths) / track.size)


def _global(cut: Sequence[Track], share: float, normalise: str) -> list[int]:
    """The positions that keep the int(total (1 - share)) units with the highest scores of all groups.

    Without normalisation, the scores of heads (summed over head_dim) and of MLP channels are compared
    directly. A group that would lose all its units is not cut.
    """
    pools = [track.pools[0] for track in cut]
    scales = [1.0] * len(pools)
    if normalise != "none":
        keys = [p.group.kind if normalise == "kind" else (p.group.kind, p.group.layer) for p in pools]
        together = {
            key: [s for p, k in zip(pools, keys, strict=True) if k == key for s in p.scores] for key in keys
        }
        scales = [sum(together[key]) / len(together[key]) or 1.0 for key in keys]
    scores = [
        [s / scale / p.group.blocks for s in p.ascending] for p, scale in zip(pools, scales, strict=True)
    ]
    ascending = sorted(
        score for each, p in zip(scores, pools, strict=True) for score in each * p.group.blocks
    )
    dropped = len(ascending) - int(sum(p.size * p.group.blocks for p in pools) * (1 - share))
    if dropped <= 0:
        return [0] * len(cut)
    threshold = ascending[dropped - 1]
    above = [sum(score > threshold for score in each) for each in scores]
    return [
        track.nearest(1 - (count or pool.left) / track.size)
        for count, pool, track in zip(above, pools, cut, strict=True)
    ]
