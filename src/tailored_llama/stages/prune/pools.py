"""Pools: groups with their remaining units; and tracks: pools that are cut together.

A track consists of one or more groups of one kind that always keep the same number of units: a single group,
or with `alike` those of all layers. At position p, p steps of units are removed from each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, gcd

from tailored_llama.errors import PlanError
from tailored_llama.families import MODEL, Group, Kind
from tailored_llama.recipe import Prune


@dataclass(frozen=True)
class Pool:
    """A group of the original model, its remaining removable units, and their scores.

    `fixed` are units that are always kept: layers that are excluded from pruning.
    """

    group: Group
    alive: tuple[int, ...]
    scores: tuple[float, ...]
    fixed: tuple[int, ...] = ()

    @cached_property
    def _blocks(self) -> list[list[tuple[float, int]]]:
        """The remaining units of each block, by ascending score; ties by ascending index."""
        size, blocks = self.group.units // self.group.blocks, defaultdict(list)
        for score, unit in sorted(zip(self.scores, self.alive, strict=True)):
            blocks[unit // size].append((score, unit))
        return list(blocks.values())

    @property
    def size(self) -> int:
        """Initial number of units per block."""
        return (self.group.units - len(self.fixed)) // self.group.blocks

    @property
    def left(self) -> int:
        """Remaining number of units per block."""
        return len(self.alive) // len(self._blocks) if self.alive else 0

    def keeping(self, count: int) -> list[int]:
        """The `count` remaining units with the highest scores in each block, ascending; ties keep
        the later.
        """
        best = [unit for block in self._blocks for _, unit in block[len(block) - count :]]
        return sorted([*best, *self.fixed])

    @cached_property
    def ascending(self) -> list[float]:
        """The score of each successive unit, summed over blocks."""
        return [
            sum(scores) for scores in zip(*([s for s, _ in block] for block in self._blocks), strict=True)
        ]


@dataclass(frozen=True)
class Track:
    """Pools of one kind that keep `top` units per block, minus `step` for each of up to `steps` steps."""

    kind: Kind
    pools: tuple[Pool, ...]
    top: int
    step: int
    steps: int

    @property
    def size(self) -> int:
        """Number of units per block in the original model."""
        return max(pool.size for pool in self.pools)

    @property
    def units(self) -> int:
        """Number of units removed by a step of width one."""
        return sum(pool.group.blocks for pool in self.pools)

    def left(self, position: float) -> float:
        """Units kept in each block at a position."""
        return self.top - position * self.step

    def between(self, share: float) -> float:
        """The fractional position at which `share` of the original units is removed."""
        return min(max(0.0, (self.top - self.size * (1 - share)) / self.step), float(self.steps))

    def floor(self, share: float) -> int:
        """The last position at which at most `share` is removed, or the first."""
        return floor(self.between(share) + 1e-9)

    def nearest(self, share: float) -> int:
        """The position whose removed share is nearest to `share`; ties keep more units."""
        return ceil(self.between(share) - 0.5)

    def shares(self) -> list[float]:
        """The removed share at each position."""
        return [1 - self.left(position) / self.size for position in range(self.steps + 1)]

    def scores(self) -> list[float]:
        """The score of each successive step."""
        result = [0.0] * self.steps
        for pool in self.pools:
            first = pool.left - self.top  # must be removed to reach a multiple of align
            for i in range(self.steps):
                start = first + i * self.step
                result[i] += sum(pool.ascending[start : start + self.step])
        return result


def tracks(pools: Sequence[Pool], settings: Prune) -> list[Track]:
    """The tracks of these pools under `settings`: `align`, `floor` and `alike`.

    Raises PlanError if a group has fewer MLP or residual channels than `align`.
    """
    if not settings.alike:
        return [_track((pool,), settings) for pool in pools]
    kinds: dict[Kind, list[Pool]] = defaultdict(list)
    for pool in pools:
        kinds[pool.group.kind].append(pool)
    return [_track(tuple(same), settings) for same in kinds.values()]


def _track(pools: tuple[Pool, ...], settings: Prune) -> Track:
    group, remaining = pools[0].group, min(pool.left for pool in pools)
    step = _step(group, remaining, settings.align)
    least = max(step, least_left(pools[0], settings.floor))
    if group.kind == "layers" and pools[0].fixed:
        least = 0
    top = remaining - remaining % step
    return Track(group.kind, pools, top, step, max(0, (top - least) // step))


def least_left(pool: Pool, floor_: float) -> int:
    """The minimum number of units per block: below 1, `floor` is a share of the original units, else a
    number.
    """
    if pool.group.layer == MODEL:
        return 1
    return min(pool.size, max(1, ceil(floor_ * pool.size - 1e-9) if floor_ < 1 else int(floor_)))


def _step(group: Group, left: int, align: int) -> int:
    """The number of units per step, so that the channels of `left` units minus any number of steps are
    multiples of `align`.

    Heads are `channels` (head_dim) wide; they are not aligned if a group has too few of them. Layers have no
    width.
    """
    if group.kind == "layers":
        return 1
    step = align // gcd(align, group.channels * group.blocks)
    if step <= left:
        return step
    if group.kind in ("mlp", "hidden"):
        of = f"MLP channels of layer {group.layer}" if group.kind == "mlp" else "residual channels"
        raise PlanError(f"prune.align: {align} is more than the {left} {of}; choose at most {left}")
    return 1
