"""A model without its weights: the code of every layer, the arguments it is called with, and the head.

What a family does around its layers (scaled embeddings, masks of several kinds, rotary positions, capped
logits) is not known here. It is run by the family's own code, with layers that only take notes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoModelForCausalLM

from tailored_llama.checkpoint import Weights

Hidden = Float[Tensor, "samples length width"]


@dataclass(frozen=True)
class Call:
    """What a decoder layer is called with, beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Skeleton:
    """The causal language model of `weights.config` with its parameters on the meta device and its buffers
    in place.

    Parameters are handed in call by call and kept by nobody. Everything is computed in the weights' own
    precision, or in fp32 if that is more, on the device that the weights are on.
    """

    def __init__(self, weights: Weights) -> None:
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
        self._embedding = f"{self._path(embedding)}.weight"
        self.device = weights.tensor(self._embedding).device
        self.dtype = torch.promote_types(weights.dtype(self._embedding), torch.float32)
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, buffer.to(self.device), persistent=False)

    def _path(self, module: nn.Module) -> str:
        name: str = next(name for name, other in self.model.named_modules() if other is module)
        return name

    def load(self, name: str) -> Tensor:
        """One parameter in the precision of the walk; it may share memory with the source."""
        return self.weights.tensor(name).to(self.device, self.dtype)

    def load_layer(self, layer: int) -> dict[str, Tensor]:
        """All parameters of one decoder layer, by their full names."""
        prefix = self._path(self.layers[layer])
        return {
            f"{prefix}.{name}": self.load(f"{prefix}.{name}")
            for name, _ in self.layers[layer].named_parameters()
        }

    def enter(self, tokens: Int[Tensor, "samples length"]) -> tuple[Hidden, list[Call]]:
        """What reaches the first layer, and how each layer is called."""
        # Only the rows of the embedding that occur are read.
        ids, renumbered = torch.unique(tokens.to(self.device), return_inverse=True)
        rows = self.weights.tensor(self._embedding).index_select(0, ids).to(self.dtype)
        calls: list[Call] = []
        inputs: list[Tensor] = []

        def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            inputs.append(hidden)
            calls.append(Call(args, kwargs))
            return hidden

        prefix = f"{self._path(self.decoder)}."
        parameters = {name.removeprefix(prefix): value for name, value in self._around_layers().items()}
        parameters[self._embedding.removeprefix(prefix)] = rows
        with torch.no_grad(), self._layers_doing(record):
            functional_call(self.decoder, parameters, (renumbered,), {"use_cache": False})
        return inputs[0], calls

    def run(self, layer: int, parameters: Mapping[str, Tensor], hidden: Hidden, call: Call) -> Hidden:
        """The output of one decoder layer with these parameters."""
        prefix = f"{self._path(self.layers[layer])}."
        own = {name.removeprefix(prefix): value for name, value in parameters.items()}
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
        head = self.model.get_output_embeddings()
        prefix, there = self._path(head), set(self.weights.names())
        parameters = self._around_layers()
        for name, _ in head.named_parameters():
            full = f"{prefix}.{name}"
            parameters[full] = self.load(full if full in there else self._embedding)
        return parameters

    def logits(
        self, parameters: Mapping[str, Tensor], hidden: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Next-token logits from the output of the last layer; tokens do not meet behind it."""

        def put_in(*args: Any, **kwargs: Any) -> Tensor:
            return hidden[None]

        with self._layers_doing(put_in):
            output = functional_call(
                self.model, dict(parameters), (), {"inputs_embeds": hidden[None].detach(), "use_cache": False}
            )
        logits: Tensor = output.logits[0]
        return logits

    def _around_layers(self) -> dict[str, Tensor]:
        """The decoder's parameters outside its layers and its embedding: norms."""
        prefix, layers = self._path(self.decoder), self._path(self.decoder.layers)
        names = [f"{prefix}.{name}" for name, _ in self.decoder.named_parameters()]
        return {n: self.load(n) for n in names if not n.startswith(f"{layers}.") and n != self._embedding}

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
