"""Reconstruction: after the cut, o_proj and down_proj are fitted anew to what the whole model computed.

Two models are walked side by side, layer by layer, on the calibration text: the whole one, and the cut one
as far as it is reconstructed already. In each cut layer first o_proj and then, behind the new o_proj,
down_proj is replaced by the ridge regression (ridge.py) from what the cut model feeds it to what the whole
model gave there. Repairing a cut by least squares, with targets from the whole model and inputs from the
one that is cut so far, is due to He et al. 2017 ("Channel Pruning for Accelerating Very Deep Neural
Networks", sections 3.1 and 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import DataError
from tailored_llama.families import MODEL, groups, in_layer, widths
from tailored_llama.progress import track
from tailored_llama.recipe import Precision
from tailored_llama.stages.prune import walk
from tailored_llama.stages.prune.meta_model import Hidden, Skeleton
from tailored_llama.stages.prune.objective import Tokens
from tailored_llama.stages.prune.ridge import Fit, Ridge
from tailored_llama.stages.prune.surgery import CutWeights, layers_after

HELD_OUT = 0.2
"""Share of the calibration samples, the last ones, by which the damping is chosen."""


def check_samples(samples: int) -> None:
    """DataError for a calibration of which nothing can be held out."""
    if samples < 2:
        raise DataError(
            "prune.reconstruct: the damping is chosen on held-out samples, and the calibration has only one; "
            "set prune.calibration.samples to 2 or more"
        )


class Reconstructed:
    """`cut` with the matrices that write to the residual stream fitted anew; itself a `Weights`.

    A layer is fitted when its matrices are first asked for, and they are held until the next layer's are:
    read in order, as a checkpoint is written, memory is that of two layers. `record` says of each matrix that
    was read its damping (None where the plain cut stays) and the relative error on held-out samples before
    and after. Raises DataError for a calibration of one sample, of which none can be held out.
    """

    def __init__(
        self,
        cut: CutWeights,
        tokens: Tokens,
        *,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
    ) -> None:
        check_samples(len(tokens))
        self.cut, self.config = cut, cut.config
        self.record: dict[str, dict[str, float | None]] = {}
        self._tokens = tokens
        self._how: dict[str, Any] = {"precision": precision, "device": device}
        self._fitted = _written(cut)
        self._steps: Iterator[tuple[int, dict[str, Fit]]] = iter(())
        self._at = len(widths(cut.config))
        self._fits: dict[str, Fit] = {}

    def names(self) -> list[str]:
        """As the cut's."""
        return self.cut.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """As the cut's."""
        return self.cut.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """As the cut's."""
        return self.cut.dtype(name)

    def tensor(self, name: str) -> Tensor:
        """A fitted matrix, or the cut's own tensor."""
        layer = next((layer for layer, names in self._fitted.items() if name in names), None)
        if layer is None:
            return self.cut.tensor(name)
        if layer < self._at:  # the first time, or out of order: from the beginning
            self._steps, self._at = self._walk(), -1
        while self._at < layer:
            self._at, self._fits = next(self._steps)
        return self._fits[name].weight

    @torch.no_grad()
    def _walk(self) -> Iterator[tuple[int, dict[str, Fit]]]:
        """Fit one layer after the other; gives each one's number after the cut, and its fits."""
        held_out = ceil(HELD_OUT * len(self._tokens))
        at_once = max(1, walk.TOKENS_AT_ONCE // self._tokens.shape[1])
        batches = [
            (batch, place == 1)
            for place, part in enumerate((self._tokens[:-held_out], self._tokens[-held_out:]))
            for batch in torch.split(part, at_once)
        ]
        whole, cut = (_Stream(w, batches, self._how) for w in (self.cut.source, self.cut))
        numbers = {old: new for new, old in enumerate(layers_after(self.cut.source.config, self.cut.kept))}
        last = max((old for old, new in numbers.items() if new in self._fitted), default=-1)
        for old in track(range(1 + last), "reconstruction"):
            new = numbers.get(old)
            names = self._fitted.get(new, []) if new is not None else []
            written = whole.written(old, [in_layer(name, old) for name in names])
            if new is not None:
                parameters = cut.skeleton.load_layer(new)
                fits = self._fit(cut, new, parameters, dict(zip(names, written, strict=True)))
                cut.step(new, parameters)
                del parameters, written  # a layer is all that is held while the next one is waited for
                if fits:
                    yield new, fits

    def _fit(
        self,
        cut: _Stream,
        layer: int,
        parameters: dict[str, Tensor],
        written: Mapping[str, Sequence[Hidden]],
    ) -> dict[str, Fit]:
        """o_proj, and behind it down_proj, each put into `parameters` in its turn."""
        fits: dict[str, Fit] = {}
        for name, wanted in written.items():
            ridge = Ridge(self.cut.tensor(name).to(cut.skeleton.device), cut.rows(held_out=False))
            for index, (_, held_out) in enumerate(cut.batches):
                inputs = cut.inputs(layer, parameters, name, index)
                ridge.add(inputs.flatten(0, 1), self._kept(wanted[index]).flatten(0, 1), held_out=held_out)
            fits[name] = fit = ridge.fit()
            self.record[name] = {"damping": fit.damping, "before": fit.before, "after": fit.after}
            parameters[name] = fit.weight.to(parameters[name])
        return fits

    def _kept(self, hidden: Hidden) -> Hidden:
        """What is left of the residual stream of the whole model."""
        channels = self.cut.kept.get("hidden", {}).get(MODEL)
        return hidden if channels is None else hidden[..., channels]


class _Stream:
    """The hidden states of one model on their way through the layers, by batch."""

    def __init__(
        self, weights: Weights, batches: Sequence[tuple[Tokens, bool]], how: Mapping[str, Any]
    ) -> None:
        self.skeleton = Skeleton(weights, **how)
        self.batches = batches
        entered = [self.skeleton.enter(batch) for batch, _ in batches]
        self.hidden = [hidden for hidden, _ in entered]
        self.calls = [calls for _, calls in entered]

    def rows(self, *, held_out: bool) -> int:
        """Tokens of the batches that are, or are not, held out."""
        return sum(batch.numel() for batch, held in self.batches if held == held_out)

    def inputs(self, layer: int, parameters: Mapping[str, Tensor], name: str, index: int) -> Tensor:
        """What one matrix of a layer multiplies in one batch."""
        seen: list[Tensor] = []
        with self.skeleton.observed([name], lambda _, inputs: seen.append(inputs)):
            self.skeleton.run(layer, parameters, self.hidden[index], self.calls[index][layer])
        return seen[0]

    def step(self, layer: int, parameters: Mapping[str, Tensor]) -> None:
        """Through one layer."""
        self.hidden = [
            self.skeleton.run(layer, parameters, hidden, calls[layer])
            for hidden, calls in zip(self.hidden, self.calls, strict=True)
        ]

    def written(self, layer: int, names: Sequence[str]) -> list[list[Hidden]]:
        """Through one layer; what these matrices of it gave, without their biases, by name and batch."""
        parameters = self.skeleton.load_layer(layer)
        found: dict[str, list[Hidden]] = {name: [] for name in names}

        def observe(name: str, inputs: Tensor) -> None:
            found[name].append(functional.linear(inputs.float(), parameters[name].float()))

        with self.skeleton.observed(names, observe):
            self.step(layer, parameters)
        return list(found.values())


def _written(cut: CutWeights) -> dict[int, list[str]]:
    """The weights of o_proj and down_proj, in this order, of each layer of the cut model that was cut.

    Without residual channels that is every layer, without whole layers every one behind the first that went.
    """
    left = layers_after(cut.source.config, cut.kept)
    touched = {layer for layers in cut.kept.values() for layer in layers}
    everything = MODEL in cut.kept.get("hidden", {})
    gap = next((new for new, old in enumerate(left) if new != old), len(left))
    names: dict[int, list[str]] = {}
    for group in groups(cut.config):
        at = group.layer
        if group.kind in ("heads", "mlp") and (everything or at >= gap or left[at] in touched):
            names.setdefault(at, []).extend(s.tensor for s in group.slices if s.axis == 1)
    return names
