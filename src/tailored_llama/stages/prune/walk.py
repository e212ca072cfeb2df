"""The walk through the layers: forward, the head, and back, with one decoder layer in memory at a time.

In the forward pass, each layer is loaded, run on the stored hidden states and dropped; its input is stored.
In the backward pass, each layer is loaded again and recomputed from its input; the gradients of its scored
matrices are passed on and dropped one by one. The result equals the gradients of one backward pass through
the complete model, up to rounding (recomputation as in Chen et al. 2016, "Training Deep Nets with Sublinear
Memory Cost"). If only activations are needed, there is no backward pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tailored_llama.checkpoint import Weights
from tailored_llama.progress import track
from tailored_llama.recipe import Precision
from tailored_llama.stages.prune.meta_model import Call, Hidden, Skeleton
from tailored_llama.stages.prune.objective import LanguageModel, Objective, Tokens

TOKENS_AT_ONCE = 1024
"""Tokens per layer call: enough for efficient matrix products, little memory compared to a large layer."""
LOGITS_AT_ONCE = 2**24
"""Number of elements in one chunk of logits: 64 MB in fp32."""

Consume = Callable[[str, Tensor, Tensor, Tensor | None], None]
"""Receives a parameter's name, the parameter, its gradient, and optionally its mean squared per-sample
gradient.
"""
Observe = Callable[[str, Hidden], None]
"""Receives a weight's name and one batch of its matrix's inputs, [samples, length, features]."""
Witness = Callable[[int, Hidden, Hidden], None]
"""Receives a layer's number, and its input and output for one batch."""


class Walk:
    """A forward pass, and optionally a backward pass, over calibration text: token ids for the
    language-modelling loss, or another objective.

    `scored` names the parameters whose gradients or inputs are collected. They may be in layers or outside:
    embedding, last norm, head (a head that is tied to the embedding has the embedding's name). With
    `per_sample`, the squared gradients of each sample's loss are averaged as well. For `precision` and
    `device` see `Skeleton`.
    """

    def __init__(
        self,
        weights: Weights,
        text: Tokens | Objective,
        scored: Iterable[str],
        *,
        per_sample: bool = False,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
    ) -> None:
        self.skeleton = Skeleton(weights, precision=precision, device=device)
        self.objective: Objective = LanguageModel(text) if isinstance(text, Tensor) else text
        self.per_sample = per_sample
        batches = self.objective.batches(per_sample, TOKENS_AT_ONCE)
        self.batches = [batch.to(self.skeleton.device) for batch in batches]
        self.scored: dict[int | None, list[str]] = defaultdict(list)
        for name in dict.fromkeys(scored):
            self.scored[self.skeleton.layer_of(name)].append(name)
        self.enters = self.skeleton.embedding in self.scored[None]
        inside = [layer for layer in self.scored if layer is not None]
        self.first = 0 if self.enters else min(inside, default=len(self.skeleton.layers))
        self.last = max(inside, default=-1)

    def gradients(self, consume: Consume) -> float:
        """Pass every scored parameter's gradient to `consume`, from the head back to the embedding; returns
        the loss (nats per token, or the value of the objective).
        """
        with torch.no_grad():
            hidden, calls, inputs = self._forward()
        around = {name: self._gathered() for name in self.scored[None]}
        loss, upstream, in_head = self._head(hidden, around, consume)
        del hidden
        layers = range(len(self.skeleton.layers) - 1, self.first - 1, -1)
        for layer in track(layers, "gradients"):
            upstream = self._back(
                layer, inputs.pop(layer), [each[layer] for each in calls], upstream, consume
            )
        if self.enters:
            self._entrance(upstream, in_head, around[self.skeleton.embedding], consume)
        return loss

    @torch.no_grad()
    def activations(self, observe: Observe, finish: Callable[[str, Tensor], None]) -> None:
        """Pass the inputs of every scored matrix to `observe`, batch by batch, first layer first.

        After all batches of a layer, `finish` receives the name and value of each of its scored weights.
        Layers after the last scored one are not run.
        """
        hidden, calls = self._enter()
        for layer in track(range(self.last + 1), "activations"):
            parameters, names = self.skeleton.load_layer(layer), self.scored.get(layer, [])
            with self.skeleton.observed(names, observe):
                hidden = self._run(layer, parameters, hidden, calls)
            for name in names:
                finish(name, parameters[name])

    @torch.no_grad()
    def through(self, witness: Witness, end: int | None = None) -> None:
        """Pass input and output of every layer before `end` to `witness`, batch by batch."""
        hidden, calls = self._enter()
        for layer in track(range(len(self.skeleton.layers) if end is None else end), "layers"):
            inputs, hidden = hidden, self._run(layer, self.skeleton.load_layer(layer), hidden, calls)
            for layer_input, layer_output in zip(inputs, hidden, strict=True):
                witness(layer, layer_input, layer_output)

    def _enter(self) -> tuple[list[Hidden], list[list[Call]]]:
        entered = [self.skeleton.enter(batch) for batch in self.batches]
        return [hidden for hidden, _ in entered], [calls for _, calls in entered]

    def _run(
        self,
        layer: int,
        parameters: Mapping[str, Tensor],
        hidden: Sequence[Hidden],
        calls: Sequence[Sequence[Call]],
    ) -> list[Hidden]:
        return [
            self.skeleton.run(layer, parameters, states, each[layer])
            for states, each in zip(hidden, calls, strict=True)
        ]

    def _forward(self) -> tuple[list[Hidden], list[list[Call]], dict[int, list[Hidden]]]:
        """By batch: the last layer's output, the calls, and by layer the inputs that the backward
        pass needs.
        """
        hidden, calls = self._enter()
        inputs: dict[int, list[Hidden]] = {}
        for layer in track(range(len(self.skeleton.layers)), "forward"):
            if layer >= self.first:
                inputs[layer] = hidden
            hidden = self._run(layer, self.skeleton.load_layer(layer), hidden, calls)
        return hidden, calls, inputs

    def _head(
        self, hidden: Sequence[Hidden], around: Mapping[str, _Gathered], consume: Consume
    ) -> tuple[float, list[Hidden], list[Tensor]]:
        """The loss, its gradients with respect to the last hidden states, and its gradient for a tied
        embedding: by batch with `per_sample`, otherwise in total.
        """
        parameters = self.skeleton.load_head()
        stored = {name: self.skeleton.stored(name) for name in parameters}
        leaves = {n: p.detach().requires_grad_() for n, p in parameters.items() if stored[n] in around}
        parameters |= leaves
        total, gradients, tied = 0.0, [], []
        for index, states in enumerate(hidden):
            loss, gradient = self._loss(parameters, index, states)
            total += loss
            gradients.append(gradient)
            last = index == len(hidden) - 1
            for name, leaf in leaves.items():
                if not self.per_sample and not last:
                    continue  # only the sum is needed
                assert leaf.grad is not None
                own, leaf.grad = leaf.grad, None
                if stored[name] == self.skeleton.embedding:
                    tied.append(own)
                    continue
                around[name].add(own)
                if last:
                    consume(name, leaf.detach(), *around[name].done())
        return total, gradients, tied

    def _loss(self, parameters: Mapping[str, Tensor], index: int, states: Hidden) -> tuple[float, Hidden]:
        """One batch's share of the loss, and its gradient with respect to the last hidden states."""
        size = max(1, LOGITS_AT_ONCE // int(self.skeleton.model.config.vocab_size))

        def losses(hidden: Tensor, labels: Tensor) -> Float[Tensor, " tokens"]:
            logits = self.skeleton.logits(parameters, hidden)
            return functional.cross_entropy(logits, labels, reduction="none")

        @torch.no_grad()
        def likelihoods(labels: Tensor, mask: Tensor) -> Float[Tensor, " places"]:
            mask = mask.to(states.device)
            chosen = states[mask], labels.to(states.device)[mask]
            parts = zip(*(torch.split(each, size) for each in chosen), strict=True)
            return -torch.cat([losses(*part) for part in parts])

        targets = self.objective.targets(index, likelihoods)
        weights = targets.weights.to(states.device, states.dtype)
        counts = weights != 0
        chosen = states[counts], targets.labels.to(states.device)[counts], weights[counts]
        total, gradients = 0.0, []
        for part, labels, share in zip(*(torch.split(each, size) for each in chosen), strict=True):
            leaf = part.detach().requires_grad_()
            loss = (share * losses(leaf, labels)).sum()
            loss.backward()
            assert leaf.grad is not None
            total += loss.item()
            gradients.append(leaf.grad)
        gradient = torch.zeros_like(states)
        if gradients:
            gradient[counts] = torch.cat(gradients)
        return total, gradient

    def _back(
        self,
        layer: int,
        inputs: Sequence[Hidden],
        calls: Sequence[Call],
        upstream: Sequence[Hidden],
        consume: Consume,
    ) -> list[Hidden]:
        """The backward pass of one layer; returns the gradients with respect to its inputs."""
        parameters = self.skeleton.load_layer(layer)
        leaves = {name: parameters[name].detach().requires_grad_() for name in self.scored.get(layer, ())}
        parameters |= leaves
        gathered = {name: self._gathered() for name in leaves}
        on = layer > self.first or self.enters
        downstream = []
        for index, (hidden, call, gradient) in enumerate(zip(inputs, calls, upstream, strict=True)):
            last = index == len(inputs) - 1
            hooks = [
                leaf.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    gathered[name].hook(name, consume if last else None)
                )
                for name, leaf in leaves.items()
            ]
            entry = hidden.detach().requires_grad_(on)
            output = self.skeleton.run(layer, parameters, entry, call)
            torch.autograd.backward(output, gradient)
            for hook in hooks:
                hook.remove()
            if on:
                assert entry.grad is not None
                downstream.append(entry.grad)
        return downstream

    def _entrance(
        self, upstream: Sequence[Hidden], in_head: Sequence[Tensor], gathered: _Gathered, consume: Consume
    ) -> None:
        """The gradient of the embedding: of the rows that occur, or of all rows if it is tied to the head."""
        table = self.skeleton.load(self.skeleton.embedding)
        total = torch.zeros_like(table, dtype=self.skeleton.dtype)
        for index, (batch, gradient) in enumerate(zip(self.batches, upstream, strict=True)):
            ids, rows = self.skeleton.entrance_gradient(batch, gradient)
            total.index_add_(0, ids, rows)
            last = index == len(upstream) - 1
            if in_head and (self.per_sample or last):
                total += in_head[index if self.per_sample else 0]
            if self.per_sample or last:
                gathered.add(total)
                total = torch.zeros_like(total) if not last else total
        consume(self.skeleton.embedding, table, *gathered.done())

    def _gathered(self) -> _Gathered:
        return _Gathered(self.objective.samples if self.per_sample else 0)


class _Gathered:
    """Gradients of one parameter, summed over batches; dropped after they are passed on.

    With `samples` > 0 each batch is one sample, and its gradient of the mean loss is 1 / samples of that of
    its own loss.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, gradient: Tensor) -> None:
        gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
        if self.samples:
            if self.squares is None:
                self.squares = torch.zeros_like(gradient)
            self.squares.addcmul_(gradient, gradient, value=self.samples)
        self.total = gradient if self.total is None else self.total.add_(gradient)

    def done(self) -> tuple[Tensor, Tensor | None]:
        """The sum, and with `samples` the mean of the squared per-sample gradients; releases both."""
        assert self.total is not None
        total, squares = self.total, self.squares
        self.total = self.squares = None
        return total, squares

    def hook(self, name: str, consume: Consume | None) -> Callable[[Tensor], None]:
        def arrived(leaf: Tensor) -> None:
            assert leaf.grad is not None
            gradient, leaf.grad = leaf.grad, None
            self.add(gradient)
            del gradient
            if consume:
                consume(name, leaf.detach(), *self.done())

        return arrived
