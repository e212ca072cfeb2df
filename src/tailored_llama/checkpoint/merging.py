"""An adapter merged into its base as a stream: one matrix in fp32 at a time, whatever the model's size."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from tailored_llama.checkpoint.adapter import Adapter, attach, merge_adapter, read_adapter
from tailored_llama.checkpoint.load import load_model
from tailored_llama.checkpoint.weights import ModelWeights, Weights, require_finite
from tailored_llama.errors import NotFiniteError, TuneError

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer


def merge_weights(base: Weights, directory: str | Path, *, base_unchecked: bool = False) -> Weights:
    """`base` with the adapter of the tuned directory (or adapter folder) `directory` added, in the dtypes of
    the base. The base is not changed, and matrices are merged when they are read.

    An adapter that contains more than updates of matrices (biases, single tokens, replaced modules) is merged
    at once, in a copy of the model in fp32. For `base_unchecked` see `read_adapter`. Raises TuneError as
    there, and if the adapter does not fit the base.
    """
    adapter = read_adapter(base, directory, base_unchecked=base_unchecked)
    matrices = all("lora_" in name and not name.endswith(".bias") for name in adapter.tensors)
    if not matrices or adapter.config.target_parameters:
        return _MergedAtOnce(base, adapter)
    return _Merged(base, _layers(base.config, adapter))


def _layers(config: PreTrainedConfig, adapter: Adapter) -> dict[str, LoraLayer]:
    """{weight: peft's layer, with the adapter's weights and a placeholder of the weight's shape}."""
    from peft.tuners.lora import LoraLayer

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            # One zero, seen as a matrix: on the meta device, peft would put the adapter there too.
            module.register_parameter(name, nn.Parameter(torch.zeros(()).expand(parameter.shape)))
    modules = attach(model, adapter).get_base_model().named_modules()
    return {f"{name}.weight": module for name, module in modules if isinstance(module, LoraLayer)}


class _Merged:
    """`base` with the updates of `layers`; itself a `Weights`."""

    def __init__(self, base: Weights, layers: Mapping[str, LoraLayer]) -> None:
        self.config: PreTrainedConfig = base.config
        self._base = base
        self._layers = layers

    def names(self) -> list[str]:
        return self._base.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._base.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        return self._base.dtype(name)

    def tensor(self, name: str) -> Tensor:
        """The merged matrix, or the base's tensor; TuneError if the sum contains NaN or Inf."""
        tensor = self._base.tensor(name)
        if name not in self._layers:
            return tensor
        # In fp32: in bf16, most of what a small adapter adds would be lost to rounding within the sum.
        return _sum(self._layers[name], tensor).to(self.dtype(name))


def _sum(layer: LoraLayer, tensor: Tensor) -> Tensor:
    """The matrix of `layer`, given as `tensor`, with the layer's update, in fp32 on the CPU."""
    module = layer.get_base_layer()
    placeholder = module.weight
    module.weight = nn.Parameter(tensor.detach().to("cpu", torch.float32, copy=True), requires_grad=False)
    try:
        layer.merge()
        merged: Tensor = module.weight.detach()
        require_finite("the sum", merged)
    except NotFiniteError as error:
        raise TuneError(f"the adapter cannot be merged: {error}; tune again in fp32") from None
    finally:
        module.weight = placeholder
        layer.merged_adapters.clear()
    return merged


class _MergedAtOnce(ModelWeights):
    """`base` with all of `adapter`, in memory in fp32 and read in the dtypes of the base."""

    def __init__(self, base: Weights, adapter: Adapter) -> None:
        model = copy.deepcopy(base.model) if isinstance(base, ModelWeights) else base
        adapted = attach(load_model(model, dtype=torch.float32), adapter)
        super().__init__(merge_adapter(adapted, torch.float32))
        self._stored = {name: base.dtype(name) for name in base.names()}

    def dtype(self, name: str) -> torch.dtype:
        return self._stored[name]

    def tensor(self, name: str) -> Tensor:
        return super().tensor(name).to(self._stored[name])
