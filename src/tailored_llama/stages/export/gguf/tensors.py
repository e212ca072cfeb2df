"""The tensors of a GGUF file: names, row order, precision. Each tensor is read when it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, MODEL_ARCH, GGMLQuantizationType, TensorNameMap
from jaxtyping import Float
from torch import Tensor

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import CheckpointError, RecipeError
from tailored_llama.families import family_named, head_dim, widths
from tailored_llama.stages.export.gguf.metadata import main_rope

KINDS: dict[str, GGMLQuantizationType] = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "bf16": GGMLQuantizationType.BF16,
    "q8_0": GGMLQuantizationType.Q8_0,
}


@dataclass(frozen=True)
class FileTensor:
    """One tensor of the file, made of the model's tensor `source`.

    `load` returns its values, with rows in llama.cpp's order; `kind` is their type in the file.
    """

    source: str
    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    load: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes in the file, without padding."""
        block, size = GGML_QUANT_SIZES[self.kind]
        return int(prod(self.shape) // block * size)

    def encoded(self) -> np.ndarray[Any, Any]:
        """The encoded values. Raises CheckpointError if a value is not finite, or overflows the type."""
        values = self.load().to(torch.float32).contiguous().cpu().numpy()
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.source}: holds values that are not finite; tune or download the model again"
            )
        if self.kind == GGMLQuantizationType.F16 and np.abs(values).max(initial=0) > np.finfo(np.float16).max:
            raise CheckpointError(
                f"{self.source}: holds values beyond the range of f16; export as bf16 or f32"
            )
        encoded: np.ndarray[Any, Any] = gguf.quantize(values, self.kind)
        return encoded


def list_tensors(weights: Weights, architecture: MODEL_ARCH, kind: GGMLQuantizationType) -> list[FileTensor]:
    """All tensors of the file, in file order; reads no weights.

    Tied embeddings are written once: llama.cpp uses the embedding if the output layer is missing. Raises
    RecipeError if rows do not fill the blocks of `kind`.
    """
    names = gguf.get_tensor_name_map(architecture, len(widths(weights.config)))
    tensors = [_tensor(weights, source, names, kind) for source in weights.names()]
    _check_rows(tensors, kind)
    factors = rope_factors(weights)
    if factors is not None:
        name = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.ROPE_FREQS] + ".weight"
        f32 = GGMLQuantizationType.F32
        tensors.insert(0, FileTensor("rope_parameters", name, tuple(factors.shape), f32, lambda: factors))
    return tensors


def _tensor(weights: Weights, source: str, names: TensorNameMap, kind: GGMLQuantizationType) -> FileTensor:
    name = names.get_name(source, try_suffixes=(".weight", ".bias"))
    assert name is not None, source  # the config's family was checked
    shape = weights.shape(source)
    family = family_named(weights.config.model_type)
    heads = _rotated_heads(weights, source) if family.gguf and family.gguf.interleave else None
    shift = family.norm_shift if len(shape) == 1 and source.endswith("norm.weight") else 0.0

    def load() -> Tensor:
        tensor = weights.tensor(source)
        if shift:
            tensor = tensor.float() + shift
        return tensor if heads is None else interleave(tensor, heads)

    # llama.cpp supports vectors in f32 only.
    return FileTensor(source, str(name), shape, kind if len(shape) > 1 else GGMLQuantizationType.F32, load)


def _rotated_heads(weights: Weights, source: str) -> int | None:
    """The number of heads in a query or key projection (weight or bias); None for other tensors."""
    module = source.rsplit(".", 1)[0]
    if not module.endswith(("self_attn.q_proj", "self_attn.k_proj")):
        return None
    return weights.shape(source)[0] // head_dim(weights.config)


def interleave(tensor: Float[Tensor, "rows ..."], heads: int) -> Float[Tensor, "rows ..."]:
    """The rows of `heads` heads, reordered for llama.cpp.

    transformers rotates channel i of a head with channel i + head_dim / 2 (GPT-NeoX), llama.cpp channel 2 i
    with 2 i + 1 (Su et al. 2021, RoFormer, eq. 34).
    """
    rows, *columns = tensor.shape
    halves = tensor.reshape(heads, 2, rows // heads // 2, *columns)
    return halves.transpose(1, 2).reshape(tensor.shape)


def rope_factors(weights: Weights) -> Float[Tensor, " half_head"] | None:
    """The divisor of each RoPE frequency, as transformers scales them; None without scaling."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config, rope = weights.config, main_rope(weights.config)
    kind = rope.get("rope_type", "default")
    form = family_named(config.model_type).gguf
    if kind == "default" or (form is not None and form.theta is not None):
        return None
    layer_type = {} if rope is config.rope_parameters else {"layer_type": "full_attention"}
    scaled, attention = ROPE_INIT_FUNCTIONS[kind](config, device="cpu", **layer_type)
    assert attention == 1, kind
    rotated = 2 * len(scaled)
    exponents = torch.arange(0, rotated, 2, dtype=torch.float32) / rotated
    factors: Tensor = rope["rope_theta"] ** -exponents / scaled
    return factors


def _check_rows(tensors: list[FileTensor], kind: GGMLQuantizationType) -> None:
    """RecipeError if a row of a quantised tensor is not a whole number of blocks."""
    block = GGML_QUANT_SIZES[kind][0]
    wrong = [tensor for tensor in tensors if tensor.kind == kind and tensor.shape[-1] % block]
    if wrong:
        more = f", as in {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise RecipeError(
            f"{wrong[0].source}: rows of {wrong[0].shape[-1]} do not fit {kind.name.lower()}, which takes "
            f"multiples of {block}{more}; f16, bf16 and f32 fit, or prune with an `align` that makes MLP "
            f"channels and heads x head_dim multiples of {block}"
        )
