"""Reconstruction: after the cut, o_proj and down_proj are refitted to the outputs of the unpruned model.

Two models are run side by side, layer by layer, on the calibration text: the unpruned one, and the pruned one
with the layers that are already reconstructed. In each pruned layer, first o_proj and then, with the new
o_proj, down_proj is replaced by a ridge regression (ridge.py) from its inputs in the pruned model to its
outputs in the unpruned model. Least-squares reconstruction with targets from the unpruned model and inputs
from the pruned one is due to He et al. 2017 ("Channel Pruning for Accelerating Very Deep Neural Networks",
sections 3.1 and 3.2).
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
"""Share of the calibration samples (the last ones) that is held out to choose the damping."""


def check_samples(samples: int) -> None:
    """DataError for a calibration with too few samples to hold one out."""
    if samples < 2:
        raise DataError(
            "prune.reconstruct: the damping is chosen on held-out samples, and the calibration has only one; "
            "set prune.calibration.samples to 2 or more"
        )


class Reconstructed:
    """`cut` with the matrices that write to the residual stream refitted; itself a `Weights`.

    A layer is fitted when its matrices are first read, and they are kept until the next layer is fitted: read
    in order, as when a checkpoint is written, memory is that of two layers. `record` has for each matrix that
    was read its damping (None if the plain cut is kept) and the relative error on held-out samples before and
    after. Raises DataError for a calibration with a single sample.
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
        """As for `cut`."""
        return self.cut.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """As for `cut`."""
        return self.cut.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """As for `cut`."""
        return self.cut.dtype(name)

    def tensor(self, name: str) -> Tensor:
        """A fitted matrix, or the tensor of `cut`."""
        layer = next((layer for layer, names in self._fitted.items() if name in names), None)
        if layer is None:
            return self.cut.tensor(name)
        if layer < self._at:  # first read, or out of order: start again
            self._steps, self._at = self._walk(), -1
        while self._at < layer:
            self._at, self._fits = next(self._steps)
        return self._fits[name].weight

    @torch.no_grad()
    def _walk(self) -> Iterator[tuple[int, dict[str, Fit]]]:
        """Fit the layers in order; yields each layer's number after the cut, and its fits."""
        held_out = ceil(HELD_OUT * len(self._tokens))
        at_once = max(1, walk.TOKENS_AT_ONCE // self._tokens.shape[1])
        batches = [
            (batch, place == 1)
            for place, part in enumerate((self._tokens[:-held_out], self._tokens[-held_out:]))
            for batch in torch.split(part, at_once)
        ]
        unpruned, cut = (_Stream(w, batches, self._how) for w in (self.cut.source, self.cut))
        numbers = {old: new for new, old in enumerate(layers_after(self.cut.source.config, self.cut.kept))}
        last = max((old for old, new in numbers.items() if new in self._fitted), default=-1)
        for old in track(range(1 + last), "reconstruction"):
            new = numbers.get(old)
            names = self._fitted.get(new, []) if new is not None else []
            outputs = unpruned.written(old, [in_layer(name, old) for name in names])
            if new is not None:
                parameters = cut.skeleton.load_layer(new)
                fits = self._fit(cut, new, parameters, dict(zip(names, outputs, strict=True)))
                cut.step(new, parameters)
                del parameters, outputs  # keep only one layer in memory until the next one is read
                if fits:
                    yield new, fits

    def _fit(
        self,
        cut: _Stream,
        layer: int,
        parameters: dict[str, Tensor],
        written: Mapping[str, Sequence[Hidden]],
    ) -> dict[str, Fit]:
        """Fit o_proj and then down_proj, and update `parameters` with each."""
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
        """The kept channels of the unpruned model's residual stream."""
        channels = self.cut.kept.get("hidden", {}).get(MODEL)
        return hidden if channels is None else hidden[..., channels]


class _Stream:
    """The hidden states of one model at the current layer, by batch."""

    def __init__(
        self, weights: Weights, batches: Sequence[tuple[Tokens, bool]], how: Mapping[str, Any]
    ) -> None:
        self.skeleton = Skeleton(weights, **how)
        self.batches = batches
        entered = [self.skeleton.enter(batch) for batch, _ in batches]
        self.hidden = [hidden for hidden, _ in entered]
        self.calls = [calls for _, calls in entered]

    def rows(self, *, held_out: bool) -> int:
        """Number of tokens of the batches that are (or are not) held out."""
        return sum(batch.numel() for batch, held in self.batches if held == held_out)

    def inputs(self, layer: int, parameters: Mapping[str, Tensor], name: str, index: int) -> Tensor:
        """The input of one matrix of a layer in one batch."""
        seen: list[Tensor] = []
        with self.skeleton.observed([name], lambda _, inputs: seen.append(inputs)):
            self.skeleton.run(layer, parameters, self.hidden[index], self.calls[index][layer])
        return seen[0]

    def step(self, layer: int, parameters: Mapping[str, Tensor]) -> None:
        """Run one layer."""
        self.hidden = [
            self.skeleton.run(layer, parameters, hidden, calls[layer])
            for hidden, calls in zip(self.hidden, self.calls, strict=True)
        ]

    def written(self, layer: int, names: Sequence[str]) -> list[list[Hidden]]:
        """Run one layer; returns the outputs of these matrices without biases, by name and batch."""
        parameters = self.skeleton.load_layer(layer)
        outputs: dict[str, list[Hidden]] = {name: [] for name in names}

        def observe(name: str, inputs: Tensor) -> None:
            outputs[name].append(functional.linear(inputs.float(), parameters[name].float()))

        with self.skeleton.observed(names, observe):
            self.step(layer, parameters)
        return list(outputs.values())


def _written(cut: CutWeights) -> dict[int, list[str]]:
    """The weights of o_proj and down_proj, in this order, of each layer of the pruned model whose outputs
    changed.

    If residual channels were removed, these are all layers; if layers were removed, all after the first
    removed one.
    """
    remaining = layers_after(cut.source.config, cut.kept)
    touched = {layer for layers in cut.kept.values() for layer in layers}
    everything = MODEL in cut.kept.get("hidden", {})
    gap = next((new for new, old in enumerate(remaining) if new != old), len(remaining))
    names: dict[int, list[str]] = {}
    for group in groups(cut.config):
        at = group.layer
        if group.kind in ("heads", "mlp") and (everything or at >= gap or remaining[at] in touched):
            names.setdefault(at, []).extend(s.tensor for s in group.slices if s.axis == 1)
    return names
