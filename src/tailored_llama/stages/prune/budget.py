"""How much of each group goes, so that a given size is left: in parameters, bytes, multiply-accumulates or
units.

A kind of units is cut in tracks (track.py). Their sizes multiply (a head is as large as the residual stream
is wide), so every count is checked against the size of the whole model (families/sizes.py), never added up
from units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from tailored_llama.errors import PlanError
from tailored_llama.families import Kind, Sizes, widths
from tailored_llama.stages.prune.pools import Track

CLOSE = 0.0025
"""How far off a plan with equal groups cut alike may be: a share of the size that goes, or of what stays if
that is less. It is half of what a ratio promises; beyond it, groups differ by one step of `align`."""
COARSE_FIRST: tuple[Kind, ...] = ("layers", "hidden", "heads", "query_heads", "mlp")
"""The coarse weights come on the scales first, and the fine ones make up for them."""
SIZES = {"params": "parameters", "macs": "multiply-accumulates", "bytes": "bytes", "units": "units"}

Positions = Sequence[float]


class Tally:
    """The size of the model when each track is at a position; `sizes` None counts units.

    Positions may lie between two counts: the size is then what is between theirs (of layers, the nearest).
    """

    def __init__(self, tracks: Sequence[Track], sizes: Sizes | None) -> None:
        self.tracks, self.sizes = tracks, sizes
        self.positions: list[float] = [0.0] * len(tracks)
        self._costs: dict[int, float] = {}
        if sizes:
            self.hidden: float = int(sizes.config.hidden_size)
            before = widths(sizes.config)
            # Query heads are counted by KV head: what a layer has of them follows from two tracks.
            self._each: dict[int, list[float]] = {
                i: [w.kv_heads, w.heads // w.kv_heads, w.mlp] for i, w in enumerate(before)
            }
            self.layers = list(self._each)
        self.place([0.0] * len(tracks))

    def place(self, positions: Positions) -> Tally:
        """Put every track at a position."""
        for index, position in enumerate(positions):
            self._put(index, position)
        return self

    def size(self) -> float:
        """What the whole model takes."""
        if self.sizes is None:
            return sum(t.left(p) * t.units for t, p in zip(self.tracks, self.positions, strict=True))
        return self.sizes.of({i: self._width(i) for i in self.layers}, self.hidden)

    def at(self, positions: Positions) -> float:
        """The size with the tracks at these positions."""
        return self.place(positions).size()

    def cost(self, index: int) -> float:
        """What one more step of a track takes away."""
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
        there = [pool.group.layer for pool in track.pools if pool.group.layer in self.layers]
        before = [self._layer(i) for i in there]
        position = self.positions[index]
        known = self._costs
        self._put(index, position + 1)
        saved = sum(size - self._layer(i) for i, size in zip(there, before, strict=True))
        self._put(index, position)
        self._costs = known
        return saved

    def step(self, index: int) -> None:
        """Move a track by one step."""
        self._put(index, self.positions[index] + 1)

    def _put(self, index: int, position: float) -> None:
        track = self.tracks[index]
        self.positions[index] = position
        if self.sizes is None:
            return
        # How many MLP channels a layer has changes neither what one of them takes nor what a head does;
        # whatever else moves may.
        if track.kind != "mlp":
            self._costs = {}
        left = track.left(position)
        if track.kind == "hidden":
            self.hidden = left
        elif track.kind == "layers":
            self.layers = track.pools[0].keeping(round(left))
        else:
            place = ("heads", "query_heads", "mlp").index(track.kind)
            for pool in track.pools:
                self._each[pool.group.layer][place] = left

    def _width(self, layer: int) -> tuple[float, float, float]:
        kv_heads, queries, mlp = self._each[layer]
        return kv_heads * queries, kv_heads, mlp

    def _layer(self, layer: int) -> float:
        assert self.sizes is not None
        return self.sizes.layer(layer, self._width(layer), self.hidden)


def check_reach(tally: Tally, of: str, ratio: float, total: float) -> None:
    """PlanError where even the narrowest model leaves more than `ratio` lets stay of `total`."""
    most = total - tally.at([track.steps for track in tally.tracks])
    if most < ratio * total - _tolerance(1 - ratio, total):
        raise PlanError(
            f"prune.ratio: {ratio:g} of {total:,.0f} {SIZES[of]} is out of reach: the chosen units and layers"
            f" lose at most {most:,.0f} (ratio {floor(1e4 * most / total) / 1e4:g}); choose more or lower it"
        )


def even(tally: Tally, share: float, total: float) -> list[int]:
    """Positions at which every track has lost about the same share, and `share` of `total` is gone.

    Kind by kind, coarse ones first: each takes the count that is nearest to the share that all that are
    still to be decided would have to lose; where the widths of the finer ones do not suffice for that, the
    next nearest. Tracks of equal size are cut alike if that comes close enough, else the first ones of the
    finest kind lose one step more.
    """
    target, tolerance = (1 - share) * total, _tolerance(1 - share, total)
    tracks = tally.tracks
    positions: list[int] = [0] * len(tracks)
    order = [kind for kind in COARSE_FIRST if any(track.kind == kind for track in tracks)]
    undecided = set(range(len(tracks)))
    for kind in order[:-1]:
        own = [i for i, track in enumerate(tracks) if track.kind == kind]
        wanted = _share(tally, positions, undecided, target)
        undecided -= set(own)
        for candidate in sorted(
            {s for i in own for s in tracks[i].shares()}, key=lambda s: (abs(s - wanted), s)
        ):
            trial = list(positions)
            for i in own:
                trial[i] = tracks[i].nearest(candidate)
            most, least = tally.at(trial), tally.at(_at_end(trial, undecided, tracks))
            if least - tolerance <= target <= most + tolerance:
                positions = trial
                break
        else:
            # No equal share will do: the finer kinds give all they can or must, some of these the rest.
            dense = tally.at(_at_end(positions, undecided, tracks)) > target
            trial = _at_end(positions, undecided, tracks) if dense else positions
            spread = _spread(tally, trial, own, target, tolerance)
            positions = [spread[i] if i in own else p for i, p in enumerate(positions)]
    return _spread(tally, positions, sorted(undecided), target, tolerance)


def _at_end(positions: Sequence[int], which: set[int], tracks: Sequence[Track]) -> list[int]:
    return [tracks[i].steps if i in which else position for i, position in enumerate(positions)]


def _share(tally: Tally, positions: Sequence[int], which: set[int], target: float) -> float:
    """The share that these tracks have to lose, between counts, so that the model has the target's size."""
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        at = [t.between(share) if i in which else positions[i] for i, t in enumerate(tally.tracks)]
        low, high = (share, high) if tally.at(at) > target else (low, share)
    return low


def _spread(
    tally: Tally, positions: Sequence[int], which: Sequence[int], target: float, tolerance: float
) -> list[int]:
    """Positions with one share for all tracks in `which`, such that the target is met as near as can be."""

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
    alike = min((below, above), key=lambda trial: abs(tally.at(trial) - target))
    if abs(tally.at(alike) - target) <= tolerance:
        return alike
    tally.place(below)
    left = tally.size()
    for i in which:
        if above[i] > below[i] and left - target >= (cost := tally.cost(i)) / 2:
            tally.step(i)
            left -= cost
    return [round(position) for position in tally.positions]


def ranked(tally: Tally, share: float, total: float, normalise: str) -> list[int]:
    """Positions by one ranking of all tracks' steps, with `share` of `total` gone.

    Steps are taken in the order of score per size: a head that costs eight times the score of a channel and
    holds ten times its parameters is the better bargain. One that is too large for what remains is passed
    over. `normalise` divides that by its mean over a `kind` or a `block` (one kind in one layer).
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
    """The mean, or 1 where nothing can be divided by it."""
    return sum(numbers) / len(numbers) or 1.0 if numbers else 1.0


def _tolerance(stays: float, total: float) -> float:
    return CLOSE * min(stays, 1 - stays) * total
