"""A model without its weights: the code of every layer, the arguments it is called with, and the head.

What a family does around its layers (scaled embeddings, masks of several kinds, rotary positions, capped
logits) is not known here. It is run by the family's own code, with layers that only take notes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoModelForCausalLM

from tailored_llama.checkpoint import Weights
from tailored_llama.recipe import Precision

Hidden = Float[Tensor, "samples length width"]


@dataclass(frozen=True)
class Call:
    """What a decoder layer is called with, beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Skeleton:
    """The causal language model of `weights.config` with its parameters on the meta device and its buffers
    in place.

    Parameters are handed in call by call and kept by nobody. With `precision` fp32 everything is computed in
    the weights' own precision, or in fp32 if that is more; with bf16 the matrix products are of bf16 numbers
    with fp32 sums inside, and everything between them (norms, residual stream, softmax) stays fp32. On
    `device`, or where the weights are.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
    ) -> None:
        with init_empty_weights(include_buffers=False):
            # Eager, as LLM-Pruner's: a sensitive model makes 1e-4 of the roundings of another kernel.
            self.model = AutoModelForCausalLM.from_config(
                copy.deepcopy(weights.config), dtype=torch.float32, attn_implementation="eager"
            ).eval()
        self.weights = weights
        self.decoder = self.model.get_decoder()
        self.layers: list[nn.Module] = list(self.decoder.layers)
        embedding = self.model.get_input_embeddings()
        embedding.padding_idx = None  # token ids are renumbered in `enter`
        self.embedding = f"{self._path(embedding)}.weight"
        self.device = torch.device(device) if device else weights.tensor(self.embedding).device
        self.dtype = torch.promote_types(weights.dtype(self.embedding), torch.float32)
        self.precision = precision
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, buffer.to(self.device), persistent=False)

    def _path(self, module: nn.Module) -> str:
        name: str = next(name for name, other in self.model.named_modules() if other is module)
        return name

    def layer_of(self, name: str) -> int | None:
        """The decoder layer that a parameter belongs to; None for those around the layers."""
        head, _, tail = name.partition(f"{self._path(self.decoder.layers)}.")
        return int(tail.partition(".")[0]) if tail and not head else None

    def load(self, name: str) -> Tensor:
        """One parameter in the precision of the walk; it may share memory with the source."""
        tensor = self.weights.tensor(name)
        matrix = tensor.ndim > 1
        return tensor.to(self.device, torch.bfloat16 if matrix and self.precision == "bf16" else self.dtype)

    def _computing(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def load_layer(self, layer: int) -> dict[str, Tensor]:
        """All parameters of one decoder layer, by their full names."""
        prefix = self._path(self.layers[layer])
        return {
            f"{prefix}.{name}": self.load(f"{prefix}.{name}")
            for name, _ in self.layers[layer].named_parameters()
        }

    def enter(self, tokens: Int[Tensor, "samples length"]) -> tuple[Hidden, list[Call]]:
        """What reaches the first layer, and how each layer is called."""
        rows, renumbered = self._embedded(tokens)[1:]
        with torch.no_grad():
            return self._enter(rows, renumbered)

    def entrance_gradient(
        self, tokens: Int[Tensor, "samples length"], upstream: Hidden
    ) -> tuple[Int[Tensor, " ids"], Float[Tensor, "ids width"]]:
        """The token ids that occur, and the gradients of their rows of the embedding."""
        ids, rows, renumbered = self._embedded(tokens)
        rows.requires_grad_()
        hidden, _ = self._enter(rows, renumbered)
        return ids, torch.autograd.grad(hidden, rows, upstream)[0]

    def _embedded(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(ids, rows, tokens as numbers of rows): only the rows of the embedding that occur are read."""
        ids, renumbered = torch.unique(tokens.to(self.device), return_inverse=True)
        table = self.weights.tensor(self.embedding)
        rows = table.index_select(0, ids.to(table.device)).to(self.device, self.dtype)
        return ids, rows, renumbered

    def _enter(self, rows: Tensor, renumbered: Tensor) -> tuple[Hidden, list[Call]]:
        calls: list[Call] = []
        inputs: list[Tensor] = []

        def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            inputs.append(hidden)
            calls.append(Call(args, kwargs))
            return hidden

        prefix = f"{self._path(self.decoder)}."
        parameters = {name.removeprefix(prefix): value for name, value in self._around_layers().items()}
        parameters[self.embedding.removeprefix(prefix)] = rows
        with self._layers_doing(record):
            functional_call(self.decoder, parameters, (renumbered,), {"use_cache": False})
        return inputs[0], calls

    def run(self, layer: int, parameters: Mapping[str, Tensor], hidden: Hidden, call: Call) -> Hidden:
        """The output of one decoder layer with these parameters."""
        prefix = f"{self._path(self.layers[layer])}."
        own = {name.removeprefix(prefix): value for name, value in parameters.items()}
        with self._computing():
            output = functional_call(self.layers[layer], own, (hidden, *call.args), call.kwargs)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result

    @contextmanager
    def observed(self, names: Iterable[str], observe: Callable[[str, Tensor], None]) -> Iterator[None]:
        """For a while, `observe` is shown what each of these weights multiplies, under the weight's name."""

        def shown(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            return lambda module, inputs: observe(name, inputs[0])

        hooks = [
            self.model.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(shown(name))
            for name in names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def load_head(self) -> dict[str, Tensor]:
        """The parameters behind the last layer: final norm, and output embedding (tied or not)."""
        return self._around_layers() | {n: self.load(self.stored(n)) for n in self._head_names()}

    def stored(self, name: str) -> str:
        """The name of the tensor that holds a parameter: the embedding's for a head that is tied to it."""
        tied = name in self._head_names() and name not in self.weights.names()
        return self.embedding if tied else name

    def _head_names(self) -> list[str]:
        head = self.model.get_output_embeddings()
        return [f"{self._path(head)}.{name}" for name, _ in head.named_parameters()]

    def logits(
        self, parameters: Mapping[str, Tensor], hidden: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Next-token logits from the output of the last layer; tokens do not meet behind it."""

        def put_in(*args: Any, **kwargs: Any) -> Tensor:
            return hidden[None]

        with self._layers_doing(put_in), self._computing():
            output = functional_call(
                self.model, dict(parameters), (), {"inputs_embeds": hidden[None].detach(), "use_cache": False}
            )
        logits: Tensor = output.logits[0]
        return logits.to(self.dtype)

    def _around_layers(self) -> dict[str, Tensor]:
        """The decoder's parameters outside its layers and its embedding: norms."""
        prefix, layers = self._path(self.decoder), self._path(self.decoder.layers)
        names = [f"{prefix}.{name}" for name, _ in self.decoder.named_parameters()]
        return {n: self.load(n) for n in names if not n.startswith(f"{layers}.") and n != self.embedding}

    @contextmanager
    def _layers_doing(self, forward: Callable[..., Tensor]) -> Iterator[None]:
        """For a while, every layer does `forward` instead of its own."""
        for layer in self.layers:
            layer.forward = forward
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward
