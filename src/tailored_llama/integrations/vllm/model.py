"""vLLM's LLaMA with per-layer widths; weights, cache and scheduling are vLLM's."""

from __future__ import annotations

import copy
from typing import Any

from vllm.model_executor.models.llama import (  # type: ignore[import-not-found]
    LlamaDecoderLayer,
    LlamaForCausalLM,
)
from vllm.model_executor.models.utils import extract_layer_index  # type: ignore[import-not-found]

from tailored_llama.shaped import WIDTHS


class ShapedLlamaDecoderLayer(LlamaDecoderLayer):  # type: ignore[misc]
    """The stock decoder layer, built from a copy of the config with this layer's widths."""

    def __init__(self, vllm_config: Any, prefix: str = "", config: Any = None, **settings: Any) -> None:
        layer_config = copy.copy(config or vllm_config.model_config.hf_config)
        for name, width in zip(WIDTHS, layer_config.layer_widths[extract_layer_index(prefix)], strict=True):
            setattr(layer_config, name, width)
        super().__init__(vllm_config=vllm_config, prefix=prefix, config=layer_config, **settings)


class ShapedLlamaForCausalLM(LlamaForCausalLM):  # type: ignore[misc]
    """`LlamaForCausalLM` of vLLM for `ShapedLlamaConfig`."""

    def __init__(
        self, *, vllm_config: Any, prefix: str = "", layer_type: type[Any] = ShapedLlamaDecoderLayer
    ) -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix, layer_type=layer_type)
