"""LoRA layers as a single fused operation, during training on the CPU.

peft computes an adapter in a dozen small operations, each with one pass over an activation in the forward
pass and one or two in the backward pass. Here y = x W' + s drop(x) A' B' is one operation with its own
gradient. In bf16, each frozen W is converted once; autocast would convert it at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from peft.tuners.lora import Linear
from torch import Tensor, nn

from tailored_llama.training.cpu_kernels.dropout import QuickDropout

Rows = Float[Tensor, "tokens width"]


class LoraProduct(torch.autograd.Function):
    """x W' + b + dropped A' B' for x [tokens, in], W [out, in], A [r, in] and B [out, r] (with its scales);
    `kept` [tokens, in] is 0 or 1, `dropped` is x * kept, or x itself without dropout. All of one dtype.
    """

    @staticmethod
    def forward(
        context: Any, x: Rows, dropped: Rows, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor,
        kept: Tensor | None,
    ) -> Rows:  # fmt: skip
        y = nn.functional.linear(x, weight, bias)
        inner = dropped @ a.t()
        context.save_for_backward(dropped, weight, a, b, kept, inner)
        return y.addmm_(inner, b.t())

    @staticmethod
    def backward(context: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        dropped, weight, a, b, kept, inner = context.saved_tensors
        down = g @ b
        of_x = None
        if context.needs_input_grad[0]:
            of_x = g @ weight
            of_x = of_x.addmm_(down, a) if kept is None else of_x.addcmul_(down @ a, kept)
        return of_x, None, None, None, down.t() @ dropped, g.t() @ inner, None


@contextmanager
def fused(model: nn.Module) -> Iterator[None]:
    """Compute the LoRA layers of `model` that are on the CPU by LoraProduct inside the block.

    Other types of adapters (DoRA), layers with several adapters, and quantised bases are not changed.
    """
    changed = [module for module in model.modules() if isinstance(module, Linear) and _plain(module)]
    for module in changed:
        module.forward = _forward(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _plain(module: Linear) -> bool:
    return (
        list(module.lora_A) == module.active_adapters
        and len(module.lora_A) == 1
        and not any(module.use_dora.values())
        and isinstance(module.lora_dropout[module.active_adapters[0]], (QuickDropout, nn.Identity))
        and type(module.base_layer) is nn.Linear
        and module.base_layer.weight.device.type == "cpu"
        and not module.base_layer.weight.requires_grad
        and not module.merged
        and module.lora_B[module.active_adapters[0]].bias is None
    )


def _forward(module: Linear) -> Callable[..., Tensor]:
    (name,) = module.active_adapters
    base, a, b = module.base_layer, module.lora_A[name], module.lora_B[name]
    dropout, scale = module.lora_dropout[name], module.scaling[name]
    frozen: dict[torch.dtype, Tensor] = {}

    def forward(x: Tensor) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        rows = x.reshape(-1, x.shape[-1]).to(dtype)
        dropped, kept, all_scales = rows, None, scale
        if module.training and isinstance(dropout, QuickDropout):
            dropped, kept = dropout.masks.apply(x, rows)
            all_scales *= dropout.masks.scale
        if dtype not in frozen:
            frozen[dtype] = base.weight.detach().to(dtype)
        bias = None if base.bias is None else base.bias.to(dtype)
        y: Tensor = LoraProduct.apply(  # type: ignore[no-untyped-call]
            rows, dropped, frozen[dtype], bias, a.weight.to(dtype), (b.weight * all_scales).to(dtype), kept
        )
        return y.view(*x.shape[:-1], y.shape[-1])

    return forward
