"""Which units stay: a pure function of scores, settings and the table of groups. Knows no model and no
tensor.

Two questions, each with two answers. How much goes: a share `of: units`, exactly as LLM-Pruner counts (Ma
et al. 2023), or of the model's size in parameters, bytes or multiply-accumulates (budget.py). From where:
`uniform`, the same share of every group, or `global`, the least of all groups together. Within a group the
units of lowest score go.
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
    """PlanError where what `settings` ask for cannot be had from these pools, whatever their scores."""
    cut = tracks(pools, settings)
    if sizes:
        check_reach(Tally(cut, sizes), settings.of, settings.ratio, sizes.total())
    else:
        _check_floor(pools, settings)
    removable = sum(track.steps for track in cut)
    if settings.steps > max(1, removable):
        raise PlanError(
            f"prune.steps: {settings.steps} is more than the {removable} steps in which the chosen units can "
            f"go; choose at most {removable}"
        )


def select(
    pools: Sequence[Pool], settings: Prune, share: float, sizes: Sizes | None, *, warn: bool = True
) -> Kept:
    """The units that stay when `share` is gone; groups that are whole are not listed.

    `sizes` measures the original model by `settings.of`; None counts units. `warn` of a final share that is
    off by more than half a percent of it. Every group of a layer keeps at least the `floor`. Widths are
    multiples of `align`: channels always, heads x head_dim where a group has enough heads. With `alike` all
    layers keep equally many. Raises PlanError for an `align` or a ratio of a size that cannot be met.
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
            what = SIZES[settings.of]
            log.warning("prune.ratio: %.4f of the %s was the nearest to %.4f", share + missed, what, share)
    elif settings.allocate == "uniform":
        positions = [_uniform(track, share) for track in cut]
    elif settings.alike:
        positions = ranked(tally, share, sum(p.size * p.group.blocks for p in pools), normalisation(settings))
    else:
        positions = _global(cut, share, normalisation(settings))
    return _kept(cut, positions)


def normalisation(settings: Prune) -> str:
    """What `auto` comes to: scores of the loss itself (by gradients) are of one scale in every layer and
    kind, magnitudes and activations are not. Units are compared as LLM-Pruner compares them."""
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
    """Without units of layers, and query heads of KV heads, that are gone themselves."""
    layers = kept.get("layers", {}).get(MODEL)
    tidy: Kept = {}
    for kind, groups in kept.items():
        for layer, units in groups.items():
            if layers is not None and layer not in (MODEL, *layers):
                continue
            there = units
            heads = kept.get("heads", {}).get(layer)
            if kind == "query_heads":
                group = pools[kind, layer].group
                size = group.units // group.blocks
                there = [u for u in units if heads is None or u // size in heads]
                if len(there) == size * len(heads if heads is not None else range(group.blocks)):
                    continue
            tidy.setdefault(kind, {})[layer] = there
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
    """The position with int(n0 (1 - share)) left of n0 original channels, heads only as whole ones."""
    left = []
    for pool in track.pools:
        channels = pool.group.channels
        dropped = pool.left * channels - int(pool.size * channels * (1 - share))
        left.append(pool.left - max(0, dropped) // channels)
    return track.nearest(1 - min(left) / track.size)


def _global(cut: Sequence[Track], share: float, normalise: str) -> list[int]:
    """The positions when int(total (1 - share)) units are to be left of all: those above the threshold.

    The scores of heads (summed over head_dim) and of MLP channels are compared as they are, if they are not
    to be normalised. A group that would lose all its units stays whole.
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
