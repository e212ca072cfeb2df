"""How much to remove from each group to reach a given size, in parameters, bytes, multiply-accumulates or
units.

A kind of units is cut in tracks (pools.py). Sizes of kinds multiply (the size of a head is proportional to
the residual width), so the size of the complete model is computed for every candidate (families/sizes.py)
instead of adding up units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from tailored_llama.errors import PlanError
from tailored_llama.families import Kind, Sizes, widths
from tailored_llama.stages.prune.pools import Track

CLOSE = 0.0025
"""Allowed deviation of a plan that cuts equal groups equally: a share of the removed size, or of the
remaining size if that is smaller. It is half of the promised accuracy of a ratio; beyond it, groups differ by
one step of `align`.
"""
COARSE_FIRST: tuple[Kind, ...] = ("layers", "hidden", "heads", "query_heads", "mlp")
"""Allocate coarse unit kinds first; the finer ones absorb the rounding."""
SIZES = {"params": "parameters", "macs": "multiply-accumulates", "bytes": "bytes", "units": "units"}

Positions = Sequence[float]


class Tally:
    """The size of the model with each track at a given position; `sizes` None counts units.

    Positions may be fractional: the size is then interpolated (for layers: that of the nearest count).
    """

    def __init__(self, tracks: Sequence[Track], sizes: Sizes | None) -> None:
        self.tracks, self.sizes = tracks, sizes
        self.positions: list[float] = [0.0] * len(tracks)
        self._costs: dict[int, float] = {}
        if sizes:
            self.hidden: float = int(sizes.config.hidden_size)
            dense_widths = widths(sizes.config)
            # Query heads are counted per KV head: their total in a layer follows from two tracks.
            self._each: dict[int, list[float]] = {
                i: [w.kv_heads, w.heads // w.kv_heads, w.mlp] for i, w in enumerate(dense_widths)
            }
            self.layers = list(self._each)
        self.place([0.0] * len(tracks))

    def place(self, positions: Positions) -> Tally:
        """Move every track to a position."""
        for index, position in enumerate(positions):
            self._put(index, position)
        return self

    def size(self) -> float:
        """The size of the model."""
        if self.sizes is None:
            return sum(t.left(p) * t.units for t, p in zip(self.tracks, self.positions, strict=True))
        return self.sizes.of({i: self._width(i) for i in self.layers}, self.hidden)

    def at(self, positions: Positions) -> float:
        """The size with the tracks at these positions."""
        return self.place(positions).size()

    def cost(self, index: int) -> float:
        """The size that the next step of a track removes."""
        if self.tracks[index].kind in ("hidden", "layers"):
            return self._cost(index)
        if index not in self._costs:
            self._costs[index] = self._cost(index)
        return self._costs[index]

    def _cost(self, index: int) -> float:
        track = self.tracks[index]
        if self.sizes is None:
            return track.step * track.units
        if track.kind == "hidden":
            return track.step * self.sizes.slope({i: self._width(i) for i in self.layers})
        if track.kind == "layers":
            lost = set(self.layers) - set(track.pools[0].keeping(int(track.left(self.positions[index] + 1))))
            return sum(self.sizes.layer(i, self._width(i), self.hidden) for i in lost)
        layers = [pool.group.layer for pool in track.pools if pool.group.layer in self.layers]
        sizes_before = [self._layer(i) for i in layers]
        position = self.positions[index]
        saved_costs = self._costs
        self._put(index, position + 1)
        saved = sum(size - self._layer(i) for i, size in zip(layers, sizes_before, strict=True))
        self._put(index, position)
        self._costs = saved_costs
        return saved

    def step(self, index: int) -> None:
        """Advance a track by one step."""
        self._put(index, self.positions[index] + 1)

    def _put(self, index: int, position: float) -> None:
        track = self.tracks[index]
        self.positions[index] = position
        if self.sizes is None:
            return
        # The number of MLP channels does not change the cost of a channel or a head; moves of other tracks
        # do.
        if track.kind != "mlp":
            self._costs = {}
        remaining = track.left(position)
        if track.kind == "hidden":
            self.hidden = remaining
        elif track.kind == "layers":
            self.layers = track.pools[0].keeping(round(remaining))
        else:
            place = ("heads", "query_heads", "mlp").index(track.kind)
            for pool in track.pools:
                self._each[pool.group.layer][place] = remaining

    def _width(self, layer: int) -> tuple[float, float, float]:
        kv_heads, queries, mlp = self._each[layer]
        return kv_heads * queries, kv_heads, mlp

    def _layer(self, layer: int) -> float:
        assert self.sizes is not None
        return self.sizes.layer(layer, self._width(layer), self.hidden)


def check_reach(tally: Tally, of: str, ratio: float, total: float) -> None:
    """PlanError if even the narrowest model is larger than `total` * (1 - `ratio`)."""
    most = total - tally.at([track.steps for track in tally.tracks])
    if most < ratio * total - _tolerance(1 - ratio, total):
        raise PlanError(
            f"prune.ratio: {ratio:g} of {total:,.0f} {SIZES[of]} is out of reach: the chosen units and layers"
            f" lose at most {most:,.0f} (ratio {floor(1e4 * most / total) / 1e4:g}); choose more or lower it"
        )


def even(tally: Tally, share: float, total: float) -> list[int]:
    """Positions at which every track has lost about the same share, and `share` of `total` is removed.

    Kinds are decided in order, coarse ones first. Each takes the count nearest to the share that all
    undecided tracks would have to lose; if the finer kinds cannot compensate for it, the next nearest. Tracks
    of equal size are cut equally if that is within the tolerance; otherwise the first tracks of the finest
    kind lose one more step.
    """
    target, tolerance = (1 - share) * total, _tolerance(1 - share, total)
    tracks = tally.tracks
    positions: list[int] = [0] * len(tracks)
    order = [kind for kind in COARSE_FIRST if any(track.kind == kind for track in tracks)]
    undecided = set(range(len(tracks)))
    for kind in order[:-1]:
        kind_tracks = [i for i, track in enumerate(tracks) if track.kind == kind]
        needed_share = _share(tally, positions, undecided, target)
        undecided -= set(kind_tracks)
        for candidate in sorted(
            {s for i in kind_tracks for s in tracks[i].shares()}, key=lambda s: (abs(s - needed_share), s)
        ):
            trial = list(positions)
            for i in kind_tracks:
                trial[i] = tracks[i].nearest(candidate)
            most, least = tally.at(trial), tally.at(_at_end(trial, undecided, tracks))
            if least - tolerance <= target <= most + tolerance:
                positions = trial
                break
        else:
            # No equal share reaches the target: the finer kinds go to their limit, and some tracks of this
            # kind make up the difference.
            dense = tally.at(_at_end(positions, undecided, tracks)) > target
            trial = _at_end(positions, undecided, tracks) if dense else positions
            spread = _spread(tally, trial, kind_tracks, target, tolerance)
            positions = [spread[i] if i in kind_tracks else p for i, p in enumerate(positions)]
    return _spread(tally, positions, sorted(undecided), target, tolerance)


def _at_end(positions: Sequence[int], which: set[int], tracks: Sequence[Track]) -> list[int]:
    return [tracks[i].steps if i in which else position for i, position in enumerate(positions)]


def _share(tally: Tally, positions: Sequence[int], which: set[int], target: float) -> float:
    """The (fractional) share that the tracks in `which` must lose to reach the target size."""
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        at = [t.between(share) if i in which else positions[i] for i, t in enumerate(tally.tracks)]
        low, high = (share, high) if tally.at(at) > target else (low, share)
    return low


def _spread(
    tally: Tally, positions: Sequence[int], which: Sequence[int], target: float, tolerance: float
) -> list[int]:
    """Positions with a common share for all tracks in `which` that come as close as possible to the
    target.
    """

    def put(share: float) -> list[int]:
        trial = list(positions)
        for i in which:
            trial[i] = tally.tracks[i].floor(share)
        return trial

    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        low, high = (share, high) if tally.at(put(share)) >= target else (low, share)
    below, above = put(low), put(high)
    equal = min((below, above), key=lambda trial: abs(tally.at(trial) - target))
    if abs(tally.at(equal) - target) <= tolerance:
        return equal
    tally.place(below)
    size = tally.size()
    for i in which:
        if above[i] > below[i] and size - target >= (cost := tally.cost(i)) / 2:
            tally.step(i)
            size -= cost
    return [round(position) for position in tally.positions]


def ranked(tally: Tally, share: float, total: float, normalise: str) -> list[int]:
    """Positions from one ranking of all steps of all tracks, with `share` of `total` removed.

    Steps are taken in ascending order of score per size: a head with eight times the score of a channel and
    ten times its parameters is removed first. Steps larger than the remaining budget are skipped. `normalise`
    divides score per size by its mean over a `kind` or a `block` (one kind in one layer).
    """
    tracks = tally.tracks
    costs = [tally.cost(i) if track.steps else 1.0 for i, track in enumerate(tracks)]
    densities = _normalised(tracks, costs, normalise)
    offers = sorted((density, i) for i, each in enumerate(densities) for density in each)
    remaining = tally.size() - (1 - share) * total
    finest = min((cost for cost, track in zip(costs, tracks, strict=True) if track.steps), default=0.0)
    for _, i in offers:
        if remaining < finest / 2:
            break
        cost = tally.cost(i)
        if cost <= remaining + finest / 2:
            tally.step(i)
            remaining -= cost
    return [round(position) for position in tally.positions]


def _normalised(tracks: Sequence[Track], costs: Sequence[float], how: str) -> list[list[float]]:
    """Score per size of every step of every track."""
    raw = [[score / cost for score in track.scores()] for track, cost in zip(tracks, costs, strict=True)]
    scales: Mapping[int, float] = {}
    if how == "block":
        scales = {i: _mean(each) for i, each in enumerate(raw)}
    elif how == "kind":
        kinds = {track.kind for track in tracks}
        mean = {
            k: _mean([x for t, each in zip(tracks, raw, strict=True) if t.kind == k for x in each])
            for k in kinds
        }
        scales = {i: mean[track.kind] for i, track in enumerate(tracks)}
    return [[density / scales.get(i, 1.0) for density in each] for i, each in enumerate(raw)]


def _mean(numbers: Sequence[float]) -> float:
    """The mean, or 1 if it is 0 or undefined, for use as a divisor."""
    return sum(numbers) / len(numbers) or 1.0 if numbers else 1.0


def _tolerance(remaining: float, total: float) -> float:
    return CLOSE * min(remaining, 1 - remaining) * total
