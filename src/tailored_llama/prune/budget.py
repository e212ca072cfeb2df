"""How many units of each group go, so that a given number of parameters goes with them.

Counts are of units gone from the original model, and only counts that `align` allows are considered. A head
holds many more parameters than an MLP channel (4 d s against 3 d, d the residual width and s head_dim), so
heads are the coarse weight on the scales and channels the fine one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd

from tailored_llama.errors import PlanError
from tailored_llama.families import Group

CLOSE = 0.0025
"""How far off a plan with equal groups cut alike may be: a share of the parameters that go, or of those
that stay if they are fewer. It is half of what `of: params` promises; beyond it, groups differ by one step
of `align`."""


@dataclass(frozen=True)
class Span:
    """How many units of a group may be gone: `low`, `low + step` and so on up to `high`."""

    group: Group
    low: int
    high: int
    step: int

    def floor(self, gone: float) -> int:
        """The largest allowed count up to `gone`, or `low`."""
        return self.low + self.step * min(max(0, floor((gone - self.low) / self.step)), self.steps)

    def nearest(self, gone: float) -> int:
        """The allowed count nearest to `gone`; of two equally near, the smaller."""
        return self.low + self.step * min(max(0, ceil((gone - self.low) / self.step - 0.5)), self.steps)

    @property
    def steps(self) -> int:
        """How often `step` fits between `low` and `high`."""
        return (self.high - self.low) // self.step


def span(group: Group, alive: int, align: int) -> Span:
    """The counts that leave a multiple of `align` channels, and at least one unit, of the `alive` ones.

    Heads are `channels` (head_dim) wide; where a group has too few of them for a multiple, they are not
    aligned. Raises PlanError where a group has fewer MLP channels than `align`.
    """
    step = align // gcd(align, group.channels)
    if step > alive:
        if group.kind == "mlp":
            raise PlanError(
                f"prune.align: {align} is more than the {alive} MLP channels of layer {group.layer}; "
                f"choose at most {alive}"
            )
        step = 1
    gone = group.units - alive
    return Span(group, gone + alive % step, group.units - step, step)


def parameters(spans: Sequence[Span], gone: Sequence[int]) -> int:
    """What these counts take away."""
    return sum(count * s.group.parameters for s, count in zip(spans, gone, strict=True))


def check_reach(spans: Sequence[Span], ratio: float, total: int) -> None:
    """PlanError where even the narrowest layers leave more than `ratio` lets stay of `total` parameters."""
    most = parameters(spans, [s.high for s in spans])
    if most < ratio * total - _tolerance(ratio * total, total):
        raise PlanError(
            f"prune.ratio: {ratio:g} of {total:,} parameters is out of reach: the chosen units and layers "
            f"lose at most {most:,} (ratio {floor(1e4 * most / total) / 1e4:g}); choose more or lower it"
        )


def even(spans: Sequence[Span], target: float, total: int) -> list[int]:
    """Counts for the same share of every group, with `target` parameters gone out of `total`.

    The heads take the share of them that is nearest to the share of all parameters of the groups, the MLP
    channels what remains; where their widths do not suffice for it, the next nearest share of heads. Groups
    of equal size are cut alike if that comes close enough to the target, else the first ones of them lose
    one step more.
    """
    tolerance = _tolerance(target, total)
    heads = [s for s in spans if s.group.kind == "heads"]
    mlp = [s for s in spans if s.group.kind == "mlp"]
    if not heads or not mlp:
        return _spread(spans, target, tolerance)
    least, most = (parameters(mlp, counts) for counts in ([s.low for s in mlp], [s.high for s in mlp]))
    share = target / sum(s.group.units * s.group.parameters for s in spans)
    for candidate in _head_shares(heads, share):
        counts = [s.nearest(float(candidate * s.group.units)) for s in heads]
        rest = target - parameters(heads, counts)
        if least - tolerance <= rest <= most + tolerance:
            break
    else:
        # No equal share of heads will do: the MLP gives all it can or must, heads of some layers the rest.
        counts = _spread(heads, target - (most if target > most else least), tolerance)
        rest = target - parameters(heads, counts)
    gone = dict(zip(heads, counts, strict=True)) | dict(zip(mlp, _spread(mlp, rest, tolerance), strict=True))
    return [gone[s] for s in spans]


def _head_shares(heads: Sequence[Span], share: float) -> list[Fraction]:
    """Every share of heads that some group can lose, nearest to `share` first."""
    sizes = {s.group.units for s in heads}
    shares = {Fraction(count, units) for units in sizes for count in range(units)}
    return sorted(shares, key=lambda x: (abs(x - share), x))


def _spread(spans: Sequence[Span], target: float, tolerance: float) -> list[int]:
    """Counts for one share of every group such that `target` parameters go, as near as can be."""
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        fits = parameters(spans, [s.floor(share * s.group.units) for s in spans]) <= target
        low, high = (share, high) if fits else (low, share)
    below, above = ([s.floor(share * s.group.units) for s in spans] for share in (low, high))
    alike = min((below, above), key=lambda counts: abs(parameters(spans, counts) - target))
    if abs(parameters(spans, alike) - target) <= tolerance:
        return alike
    gone = list(below)
    for i, s in enumerate(spans):
        missing = target - parameters(spans, gone)
        if above[i] > gone[i] and missing >= s.step * s.group.parameters / 2:
            gone[i] = above[i]
    return gone


def ranked(spans: Sequence[Span], scores: Sequence[Sequence[float]], target: float) -> list[int]:
    """Counts by one ranking of all groups' units, with `target` parameters gone.

    `scores` are those of the living units of each group, ascending. Units go in the order of score per
    parameter: a head that costs eight times the score of a channel and holds ten times its parameters is
    the better bargain. One that is too large for what remains of the target is passed over, and its group
    left as it is then.
    """
    gone = [s.low for s in spans]
    offers = sorted(
        (density, i, position)
        for i, (s, ascending) in enumerate(zip(spans, scores, strict=True))
        for position, density in enumerate(_densities(s, ascending))
    )
    remaining = target - parameters(spans, gone)
    finest = min(s.step * s.group.parameters for s in spans)
    for _, i, _ in offers:
        cost = spans[i].step * spans[i].group.parameters
        if cost <= remaining + finest / 2:
            gone[i] += spans[i].step
            remaining -= cost
    return gone


def _densities(s: Span, ascending: Sequence[float]) -> list[float]:
    """Score per parameter of each next step that a group may lose."""
    first = len(ascending) - (s.group.units - s.low)  # these have to go to reach a multiple of align
    steps = range(first, first + s.steps * s.step, s.step)
    return [sum(ascending[i : i + s.step]) / (s.step * s.group.parameters) for i in steps]


def _tolerance(target: float, total: int) -> float:
    return CLOSE * min(target, total - target)
