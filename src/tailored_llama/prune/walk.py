"""The walk through the layers: forward, the head, and back, with one decoder layer in memory at a time.

Forward, each layer is loaded, run on the stored hidden states and dropped; its input is kept. Back, each
layer is loaded again and recomputed from its input, and the gradients of its scored matrices are handed
over and dropped one by one as they arise. What results equals the gradients of one backward pass through
the whole model, to rounding (the recomputation is that of Chen et al. 2016, "Training Deep Nets with
Sublinear Memory Cost"). Where activations are all that is asked for, the way forward is the whole walk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from tailored_llama.checkpoint import Weights
from tailored_llama.progress import track
from tailored_llama.prune.skeleton import Call, Hidden, Skeleton

TOKENS_AT_ONCE = 1024
"""Through a layer in one piece: enough to keep the matrix products busy, little beside a large layer."""
LOGITS_AT_ONCE = 2**24
"""Numbers in one chunk of logits: 64 MB in fp32."""

Consume = Callable[[str, Tensor, Tensor, Tensor | None], None]
"""Takes a parameter's name, the parameter, its gradient, and if asked for its mean squared one by sample."""
Observe = Callable[[str, Hidden], None]
"""Takes a weight's name and one batch of what its matrix multiplies, [samples, length, features]."""


class Walk:
    """One pass forward, and if asked for back, over a calibration batch.

    `scored` names the weights of each layer whose gradients or inputs are wanted; no others are taken. With
    `per_sample`, the squared gradients of each sample's own loss are averaged as well, sample by sample.
    """

    def __init__(
        self,
        weights: Weights,
        tokens: Int[Tensor, "samples length"],
        scored: Mapping[int, Sequence[str]],
        *,
        per_sample: bool = False,
    ) -> None:
        self.skeleton = Skeleton(weights)
        self.tokens = tokens.to(self.skeleton.device)
        self.scored = scored
        self.first = min(scored)
        self.per_sample = per_sample
        at_once = 1 if per_sample else max(1, TOKENS_AT_ONCE // tokens.shape[1])
        self.batches = torch.split(self.tokens, at_once)

    def gradients(self, consume: Consume) -> float:
        """Hand every scored parameter's gradient to `consume`, last layer first; returns nats per token."""
        with torch.no_grad():
            hidden, calls, inputs = self._forward()
        loss, upstream = self._head(hidden)
        layers = range(len(self.skeleton.layers) - 1, self.first - 1, -1)
        for layer in track(layers, "gradients"):
            upstream = self._back(
                layer, inputs.pop(layer), [each[layer] for each in calls], upstream, consume
            )
        return loss

    @torch.no_grad()
    def activations(self, observe: Observe, finish: Callable[[str, Tensor], None]) -> None:
        """Hand the inputs of every scored matrix to `observe`, batch by batch, first layer first.

        When a layer has seen all batches, `finish` takes the name and value of each of its scored weights.
        Layers behind the last scored one are not run.
        """
        entered = [self.skeleton.enter(batch) for batch in self.batches]
        hidden, calls = [h for h, _ in entered], [c for _, c in entered]
        for layer in track(range(max(self.scored) + 1), "activations"):
            parameters, names = self.skeleton.load_layer(layer), self.scored.get(layer, ())
            with self.skeleton.observed(names, observe):
                hidden = [
                    self.skeleton.run(layer, parameters, h, c[layer])
                    for h, c in zip(hidden, calls, strict=True)
                ]
            for name in names:
                finish(name, parameters[name])

    def _forward(self) -> tuple[list[Hidden], list[list[Call]], dict[int, list[Hidden]]]:
        """By batch: the last layer's output, the calls, and the inputs that the way back needs by layer."""
        entered = [self.skeleton.enter(batch) for batch in self.batches]
        hidden, calls = [h for h, _ in entered], [c for _, c in entered]
        inputs: dict[int, list[Hidden]] = {}
        for layer in track(range(len(self.skeleton.layers)), "forward"):
            if layer >= self.first:
                inputs[layer] = hidden
            parameters = self.skeleton.load_layer(layer)
            hidden = [
                self.skeleton.run(layer, parameters, h, c[layer]) for h, c in zip(hidden, calls, strict=True)
            ]
        return hidden, calls, inputs

    def _head(self, hidden: Sequence[Hidden]) -> tuple[float, list[Hidden]]:
        """The mean loss over all predicted tokens, and its gradients by the last hidden states."""
        parameters = self.skeleton.load_head()
        predicted = self.tokens[:, 1:].numel()
        size = max(1, LOGITS_AT_ONCE // int(self.skeleton.model.config.vocab_size))
        total, gradients = 0.0, []
        for tokens, states in zip(self.batches, hidden, strict=True):
            labels, flat = tokens[:, 1:].flatten(), states[:, :-1].flatten(0, 1)
            parts = [
                self._loss(parameters, *part, predicted)
                for part in zip(torch.split(flat, size), torch.split(labels, size), strict=True)
            ]
            total += sum(loss for loss, _ in parts)
            gradient = torch.cat([part for _, part in parts]).view_as(states[:, :-1])
            gradients.append(functional.pad(gradient, (0, 0, 0, 1)))  # the last token predicts nothing
        return total, gradients

    def _loss(
        self,
        parameters: Mapping[str, Tensor],
        hidden: Float[Tensor, "tokens width"],
        labels: Int[Tensor, " tokens"],
        predicted: int,
    ) -> tuple[float, Float[Tensor, "tokens width"]]:
        leaf = hidden.detach().requires_grad_()
        logits = self.skeleton.logits(parameters, leaf)
        loss = functional.cross_entropy(logits, labels, reduction="sum") / predicted
        return loss.item(), torch.autograd.grad(loss, leaf)[0]

    def _back(
        self,
        layer: int,
        inputs: Sequence[Hidden],
        calls: Sequence[Call],
        upstream: Sequence[Hidden],
        consume: Consume,
    ) -> list[Hidden]:
        """One layer's share of the way back; returns the gradients by its inputs."""
        parameters = self.skeleton.load_layer(layer)
        leaves = {name: parameters[name].detach().requires_grad_() for name in self.scored.get(layer, ())}
        parameters |= leaves
        gathered = {name: _Gathered(len(self.tokens) if self.per_sample else 0) for name in leaves}
        downstream = []
        for index, (hidden, call, gradient) in enumerate(zip(inputs, calls, upstream, strict=True)):
            last = index == len(inputs) - 1
            hooks = [
                leaf.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    gathered[name].hook(name, consume if last else None)
                )
                for name, leaf in leaves.items()
            ]
            entry = hidden.detach().requires_grad_(layer > self.first)
            output = self.skeleton.run(layer, parameters, entry, call)
            torch.autograd.backward(output, gradient)
            for hook in hooks:
                hook.remove()
            if layer > self.first:
                assert entry.grad is not None
                downstream.append(entry.grad)
        return downstream


class _Gathered:
    """Gradients of one parameter, added up over batches; dropped once they are handed over.

    With `samples` > 0 each batch is one sample, whose gradient of the mean loss is 1 / samples of its own.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def hook(self, name: str, consume: Consume | None) -> Callable[[Tensor], None]:
        def arrived(leaf: Tensor) -> None:
            assert leaf.grad is not None
            gradient, leaf.grad = leaf.grad, None
            if self.samples:
                if self.squares is None:
                    self.squares = torch.zeros_like(gradient)
                self.squares.addcmul_(gradient, gradient, value=self.samples)
            self.total = gradient if self.total is None else self.total.add_(gradient)
            if consume:
                consume(name, leaf.detach(), self.total, self.squares)
                self.total = self.squares = None

        return arrived
