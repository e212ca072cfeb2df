"""A model without weights: the code of every layer, the arguments of its call, and the head.

This module does not know what a family computes around its layers (scaled embeddings, several masks, rotary
positions, capped logits). It runs the family's own code with stub layers that record their arguments.
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
from transformers.initialization import no_init_weights

from tailored_llama.checkpoint import Weights
from tailored_llama.recipe import Precision

Hidden = Float[Tensor, "samples length width"]


@dataclass(frozen=True)
class Call:
    """The arguments of a decoder layer, except the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Skeleton:
    """The causal language model of `weights.config` with parameters on the meta device and real buffers.

    Parameters are passed with each call and not retained. With `precision` fp32, everything is computed in
    the weights' precision, but at least fp32; with bf16, matrix products have bf16 factors and fp32 sums, and
    everything else (norms, residual stream, softmax) is fp32. Runs on `device`, by default that of the
    weights.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
    ) -> None:
        with init_empty_weights(include_buffers=False), no_init_weights():
            # Eager, as in LLM-Pruner: in a sensitive model, the rounding of another kernel changes results by
            # 1e-4.
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
        """The decoder layer that a parameter belongs to; None for parameters outside the layers."""
        head, _, tail = name.partition(f"{self._path(self.decoder.layers)}.")
        return int(tail.partition(".")[0]) if tail and not head else None

    def load(self, name: str) -> Tensor:
        """One parameter in the precision of the walk; may share memory with its source."""
        tensor = self.weights.tensor(name)
        matrix = tensor.ndim > 1
        return tensor.to(self.device, torch.bfloat16 if matrix and self.precision == "bf16" else self.dtype)

    def _computing(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def load_layer(self, layer: int) -> dict[str, Tensor]:
        """{full name: tensor} of all parameters of one decoder layer."""
        prefix = self._path(self.layers[layer])
        return {
            f"{prefix}.{name}": self.load(f"{prefix}.{name}")
            for name, _ in self.layers[layer].named_parameters()
        }

    def enter(self, tokens: Int[Tensor, "samples length"]) -> tuple[Hidden, list[Call]]:
        """The input of the first layer, and the call arguments of each layer."""
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
        """(ids, rows, tokens as indices into rows): only the embedding rows of occurring tokens are read."""
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
        layer_parameters = {name.removeprefix(prefix): value for name, value in parameters.items()}
        with self._computing():
            output = functional_call(self.layers[layer], layer_parameters, (hidden, *call.args), call.kwargs)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result

    @contextmanager
    def observed(self, names: Iterable[str], observe: Callable[[str, Tensor], None]) -> Iterator[None]:
        """Inside the block, call `observe` with the name and the input of each of these weights."""

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
        """The parameters after the last layer: final norm and output embedding (tied or not)."""
        return self._around_layers() | {n: self.load(self.stored(n)) for n in self._head_names()}

    def stored(self, name: str) -> str:
        """The name of a parameter's tensor: that of the embedding for a tied head."""
        tied = name in self._head_names() and name not in self.weights.names()
        return self.embedding if tied else name

    def _head_names(self) -> list[str]:
        head = self.model.get_output_embeddings()
        return [f"{self._path(head)}.{name}" for name, _ in head.named_parameters()]

    def logits(
        self, parameters: Mapping[str, Tensor], hidden: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Next-token logits from the output of the last layer; position-wise from here on."""

        def put_in(*args: Any, **kwargs: Any) -> Tensor:
            return hidden[None]

        with self._layers_doing(put_in), self._computing():
            output = functional_call(
                self.model, dict(parameters), (), {"inputs_embeds": hidden[None].detach(), "use_cache": False}
            )
        logits: Tensor = output.logits[0]
        return logits.to(self.dtype)

    def _around_layers(self) -> dict[str, Tensor]:
        """The decoder's parameters except layers and embedding: norms."""
        prefix, layers = self._path(self.decoder), self._path(self.decoder.layers)
        names = [f"{prefix}.{name}" for name, _ in self.decoder.named_parameters()]
        return {n: self.load(n) for n in names if not n.startswith(f"{layers}.") and n != self.embedding}

    @contextmanager
    def _layers_doing(self, forward: Callable[..., Tensor]) -> Iterator[None]:
        """Inside the block, every layer runs `forward` instead of its own code."""
        for layer in self.layers:
            layer.forward = forward
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward
