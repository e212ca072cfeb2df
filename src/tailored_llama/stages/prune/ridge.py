"""Ridge regression of a cut matrix onto what the whole one gave, its damping chosen on held-out rows.

With X the rows that go into the cut matrix W0 [out, in], Y the outputs wanted and E = Y - X W0^T what the cut
leaves wrong, the correction D [in, out] of W0^T minimises

    |E - X D|^2 + a |D|^2,    a = damping * tr(X^T X) / in

(Hoerl and Kennard 1970). No damping is least squares, infinite damping the plain cut. With more rows than
inputs it is (X^T X + a)^-1 X^T E, with fewer the same thing as X^T (X X^T + a)^-1 E; either way the smaller
matrix is solved, in fp64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Tried beside the plain cut; in units of the mean eigenvalue of X^T X."""


@dataclass(frozen=True)
class Fit:
    """A matrix and how far its output is from the one wanted on held-out rows: |Y - X W^T| / |Y|, `before`
    with the plain cut and `after` with `weight`. `damping` is None where the plain cut stays."""

    weight: Float[Tensor, "out in"]
    damping: float | None
    before: float
    after: float


class Ridge:
    """Takes rows batch by batch, then fits. `rows` is the number of rows to come that are not held out."""

    def __init__(self, weight: Float[Tensor, "out in"], rows: int) -> None:
        self.weight = weight
        kind = _Rows if rows <= weight.shape[1] else _Moments
        self.seen: _Statistics = kind()
        self.held: _Statistics = kind()
        self.wanted = 0.0

    def add(
        self, inputs: Float[Tensor, "rows in"], targets: Float[Tensor, "rows out"], *, held_out: bool
    ) -> None:
        """Take note of rows: what goes in, and what should come out."""
        x, y = inputs.double(), targets.double()
        if held_out:
            self.wanted += float(y.square().sum())
        (self.held if held_out else self.seen).add(x, y - x @ self.weight.double().T)

    def correction(self, damping: float) -> Float[Tensor, "in out"]:
        """D for one damping."""
        return self.seen.expanded(self.seen.solution(damping))

    def fit(self) -> Fit:
        """The weight whose damping serves the held-out rows best; the plain cut where none serves better.

        In the precision of the cut weight, and measured as rounded to it.
        """
        plain = self.held.left()
        found = {
            d: self.held.left(self.seen.solution(d), self.seen) for d in DAMPINGS if self.seen.scale() > 0
        }
        best = min(found, key=lambda damping: found[damping], default=None)
        if best is not None and found[best] < plain:
            weight = (self.weight.double() + self.correction(best).T).to(self.weight.dtype)
            left = self.held.left((weight.double() - self.weight.double()).T)
            if left < plain:
                return Fit(weight, best, self._relative(plain), self._relative(left))
        return Fit(self.weight, None, self._relative(plain), self._relative(plain))

    def _relative(self, squared: float) -> float:
        return float((max(squared, 0.0) / self.wanted) ** 0.5) if self.wanted else 0.0


class _Statistics(Protocol):
    """What is kept of rows X and E.

    A `solution` is D itself, or what `expanded` makes D from."""

    def add(self, x: Tensor, e: Tensor) -> None: ...

    def scale(self) -> float:
        """The mean eigenvalue of X^T X."""
        ...

    def solution(self, damping: float) -> Tensor: ...

    def expanded(self, solution: Tensor) -> Tensor: ...

    def left(self, solution: Tensor | None = None, of: _Statistics | None = None) -> float:
        """|E - X D|^2, D being 0, or given, or what `of` expands to."""
        ...


class _Rows:
    """Few rows: they themselves are kept."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def add(self, x: Tensor, e: Tensor) -> None:
        self.parts.append((x, e))

    @property
    def x(self) -> Tensor:
        return torch.cat([x for x, _ in self.parts])

    @property
    def e(self) -> Tensor:
        return torch.cat([e for _, e in self.parts])

    def scale(self) -> float:
        return float(self.x.square().sum()) / self.x.shape[1]

    def solution(self, damping: float) -> Tensor:
        x = self.x
        return _solve(x @ x.T, damping * self.scale(), self.e)

    def expanded(self, solution: Tensor) -> Tensor:
        return self.x.T @ solution

    def left(self, solution: Tensor | None = None, of: _Statistics | None = None) -> float:
        if solution is None:
            return float(self.e.square().sum())
        x = self.x @ of.x.T if isinstance(of, _Rows) else self.x
        return float((self.e - x @ solution).square().sum())


class _Moments:
    """Many rows: X^T X, X^T E and |E|^2 are kept."""

    def __init__(self) -> None:
        self.xx = self.xe = torch.zeros((), dtype=torch.float64)
        self.ee = 0.0

    def add(self, x: Tensor, e: Tensor) -> None:
        self.xx = self.xx.to(x.device) + x.T @ x
        self.xe = self.xe.to(x.device) + x.T @ e
        self.ee += float(e.square().sum())

    def scale(self) -> float:
        return float(self.xx.diagonal().mean())

    def solution(self, damping: float) -> Tensor:
        return _solve(self.xx, damping * self.scale(), self.xe)

    def expanded(self, solution: Tensor) -> Tensor:
        return solution

    def left(self, solution: Tensor | None = None, of: _Statistics | None = None) -> float:
        if solution is None:
            return self.ee
        return self.ee - float((solution * (2 * self.xe - self.xx @ solution)).sum())


def _solve(
    matrix: Float[Tensor, "n n"], ridge: float, right: Float[Tensor, "n out"]
) -> Float[Tensor, "n out"]:
    damped = matrix.clone()
    damped.diagonal().add_(ridge)
    return torch.cholesky_solve(right, torch.linalg.cholesky(damped))
