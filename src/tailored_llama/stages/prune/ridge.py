"""Ridge regression of a pruned matrix onto the outputs of the unpruned one; the damping is chosen on held-out
rows.

With X the input rows of the pruned matrix W0 [out, in], Y the target outputs and E = Y - X W0^T the error of
the cut, the correction D [in, out] of W0^T minimises

    |E - X D|^2 + a |D|^2,    a = damping * tr(X^T X) / in

(Hoerl and Kennard 1970). No damping is least squares, infinite damping the plain cut. With more rows than
inputs the solution is (X^T X + a)^-1 X^T E, with fewer it is computed as X^T (X X^T + a)^-1 E; either way the
smaller system is solved, in fp64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidate dampings, in addition to the plain cut; in units of the mean eigenvalue of X^T X."""
ROUNDING = 8 * torch.finfo(torch.float32).eps
"""A smaller relative error is the rounding of the activations, which is not fitted."""


@dataclass(frozen=True)
class Fit:
    """A fitted matrix and its relative error on held-out rows, |Y - X W^T| / |Y|: `before` with the plain
    cut, `after` with `weight`. `damping` is None if the plain cut is kept.
    """

    weight: Float[Tensor, "out in"]
    damping: float | None
    before: float
    after: float


class Ridge:
    """Accumulates rows batch by batch, then fits. `rows` is the total number of rows that are not
    held out.
    """

    def __init__(self, weight: Float[Tensor, "out in"], rows: int) -> None:
        self.weight = weight
        kind = _Rows if rows <= weight.shape[1] else _Moments
        self.seen: _Statistics = kind()
        self.held: _Statistics = kind()
        self.wanted = 0.0

    def add(
        self, inputs: Float[Tensor, "rows in"], targets: Float[Tensor, "rows out"], *, held_out: bool
    ) -> None:
        """Add rows of inputs and target outputs."""
        x, y = inputs.double(), targets.double()
        if held_out:
            self.wanted += float(y.square().sum())
        (self.held if held_out else self.seen).add(x, y - x @ self.weight.double().T)

    def correction(self, damping: float) -> Float[Tensor, "in out"]:
        """The correction D for one damping."""
        return self.seen.expanded(self.seen.solution(damping))

    def fit(self) -> Fit:
        """The weight with the smallest error on held-out rows; the plain cut if no damping improves it.

        The weight is in the precision of the pruned one, and the error is measured after rounding to it. An
        error that is rounding of fp32 is not fitted.
        """
        plain = self.held.left()
        if self.wanted and self._relative(plain) < ROUNDING:
            return Fit(self.weight, None, self._relative(plain), self._relative(plain))
        candidates = {
            d: self.held.left(self.seen.solution(d), self.seen) for d in DAMPINGS if self.seen.scale() > 0
        }
        best = min(candidates, key=lambda damping: candidates[damping], default=None)
        if best is not None and candidates[best] < plain:
            weight = (self.weight.double() + self.correction(best).T).to(self.weight.dtype)
            left = self.held.left((weight.double() - self.weight.double()).T)
            if left < plain:
                return Fit(weight, best, self._relative(plain), self._relative(left))
        return Fit(self.weight, None, self._relative(plain), self._relative(plain))

    def _relative(self, squared: float) -> float:
        return float((max(squared, 0.0) / self.wanted) ** 0.5) if self.wanted else 0.0


class _Statistics(Protocol):
    """Statistics of the rows X and E.

    A `solution` is D, or a smaller matrix that `expanded` turns into D.
    """

    def add(self, x: Tensor, e: Tensor) -> None: ...

    def scale(self) -> float:
        """The mean eigenvalue of X^T X."""
        ...

    def solution(self, damping: float) -> Tensor: ...

    def expanded(self, solution: Tensor) -> Tensor: ...

    def left(self, solution: Tensor | None = None, of: _Statistics | None = None) -> float:
        """|E - X D|^2, where D is 0, the given solution, or its expansion by `of`."""
        ...


class _Rows:
    """For few rows: the rows are stored."""

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
    """For many rows: X^T X, X^T E and |E|^2 are stored."""

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
