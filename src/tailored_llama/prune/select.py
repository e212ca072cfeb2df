"""Which units stay: a pure function of scores, settings and the table of groups. Knows no model and no
tensor.

Two questions, each with two answers. How much goes: a share `of: units`, exactly as LLM-Pruner counts (Ma
et al. 2023), or `of: params`, a share of all the model's parameters (budget.py). From where: `uniform`, the
same share of every group, or `global`, the least of all groups together. Within a group the units of lowest
score go.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tailored_llama.families import Group, Kept
from tailored_llama.prune.budget import CLOSE, check_reach, even, parameters, ranked, span
from tailored_llama.recipe import Prune

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """A group of the original model, the units of it that are still there, and their scores."""

    group: Group
    alive: tuple[int, ...]
    scores: tuple[float, ...]

    def keeping(self, count: int) -> list[int]:
        """The `count` living units of highest score, ascending; of equal scores the later ones."""
        order = sorted(zip(self.scores, self.alive, strict=True))
        return sorted(unit for _, unit in order[len(order) - count :])


def select(pools: Sequence[Pool], settings: Prune, step: int, total: int) -> Kept:
    """The units that stay after step `step` out of 1 .. `settings.steps`; groups that are whole are not
    listed.

    `total` counts the parameters of the original model. Every group keeps at least one unit. Widths are
    multiples of `align`: MLP channels always, heads x head_dim where a group has enough heads. Raises
    PlanError for an `align` or a ratio of parameters that cannot be met.
    """
    share = step / settings.steps * settings.ratio
    spans = [span(pool.group, len(pool.alive), settings.align) for pool in pools]
    if settings.of == "params":
        check_reach(spans, settings.ratio, total)
        if settings.allocate == "uniform":
            gone = even(spans, share * total, total)
        else:
            gone = ranked(spans, [sorted(pool.scores) for pool in pools], share * total)
        missed = parameters(spans, gone) / total - share
        if step == settings.steps and abs(missed) > 2 * CLOSE * min(share, 1 - share):
            log.warning("prune.ratio: %.4f of the parameters was the nearest to %.4f", share + missed, share)
    else:
        count = _uniform if settings.allocate == "uniform" else _global
        left = count(pools, share)
        gone = [s.nearest(s.group.units - units) for s, units in zip(spans, left, strict=True)]
    kept: Kept = {}
    for pool, count_gone in zip(pools, gone, strict=True):
        if count_gone:
            kept.setdefault(pool.group.kind, {})[pool.group.layer] = pool.keeping(
                pool.group.units - count_gone
            )
    return kept


def _uniform(pools: Sequence[Pool], share: float) -> list[int]:
    """Units left of each group: int(n0 (1 - share)) of its n0 original channels, heads only as whole ones."""
    left = []
    for pool in pools:
        channels = pool.group.channels
        dropped = len(pool.alive) * channels - int(pool.group.units * channels * (1 - share))
        left.append(len(pool.alive) - max(0, dropped) // channels)
    return left


def _global(pools: Sequence[Pool], share: float) -> list[int]:
    """Units left of each group when int(total (1 - share)) are to be left of all: those above the threshold.

    The scores of heads (summed over head_dim) and of MLP channels are compared as they are. A group that
    would lose all its units stays whole.
    """
    ascending = sorted(score for pool in pools for score in pool.scores)
    dropped = len(ascending) - int(sum(pool.group.units for pool in pools) * (1 - share))
    if dropped <= 0:
        return [len(pool.alive) for pool in pools]
    threshold = ascending[dropped - 1]
    above = [sum(score > threshold for score in pool.scores) for pool in pools]
    return [count or len(pool.alive) for count, pool in zip(above, pools, strict=True)]
