"""LoRA's linear layers in fewer passes over memory, on a CPU.

Owns one autograd function for a frozen linear layer and what LoRA adds to it. As peft writes it, the addition takes a
product, a scaling and a sum, each a pass over a tensor as wide as the layer's output, forward and back; on a CPU these
passes cost as much as LoRA's products. Here products add to what is there already, and the scaling goes into the small
matrix. What is computed is the same, and rounded less often. Does not know the trainer; layers that LoRA changes in
other ways stay peft's.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear
from torch import nn


def fuse(model: PeftModel) -> int:
    """Gives the LoRA layers of a model this function, where it computes what they do.

    Returns:
        How many layers have it.
    """
    layers = [module for module in model.modules() if type(module) is Linear and _plain(module)]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
    return len(layers)


def _plain(layer: Linear) -> bool:
    """Whether a layer is a frozen linear one and LoRA without options: no dropout, no bias of its own, no other
    variant."""
    base, names = layer.get_base_layer(), list(layer.lora_A)
    return (
        type(base) is nn.Linear
        and not base.weight.requires_grad
        and (base.bias is None or not base.bias.requires_grad)
        and not layer.fan_in_fan_out
        and not layer.lora_variant
        and len(names) == 1
        and not layer.lora_bias[names[0]]
        and isinstance(layer.lora_dropout[names[0]], nn.Identity)
    )


def _forward(self: Linear, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """As ``Linear.forward``, which takes over for what is not training on a CPU."""
    name = next(iter(self.lora_A))
    if (
        args
        or kwargs
        or self.disable_adapters
        or self.merged
        or self.active_adapters != [name]
        or x.device.type != "cpu"
    ):
        return Linear.forward(self, x, *args, **kwargs)
    base = self.get_base_layer()
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    bias = None if base.bias is None else base.bias.to(dtype)
    return LoraLinear.apply(
        x.to(dtype), base.weight.to(dtype), bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
    )


class LoraLinear(torch.autograd.Function):
    """``x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ``: x (…, in), W (out, in), A (rank, in), B (out, rank) → (…, out), in the
    type of x.

    W and the bias are frozen, and of the type of x; A and B may be wider.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """The layer's output."""
        flat, small_a, small_b = x.reshape(-1, x.shape[-1]), a.to(x.dtype), (b * scaling).to(x.dtype)
        inner = torch.mm(flat, small_a.t())
        out = torch.mm(flat, weight.t()) if bias is None else torch.addmm(bias, flat, weight.t())
        out.addmm_(inner, small_b.t())
        ctx.save_for_backward(flat, weight, small_a, small_b, inner)
        ctx.scaling, ctx.shape, ctx.dtypes = scaling, x.shape, (a.dtype, b.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, None, None, torch.Tensor, torch.Tensor, None]:
        """The gradients of x, A and B."""
        flat, weight, small_a, small_b, inner = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        of_inner = torch.mm(grad, small_b)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.mm(grad, weight).addmm_(of_inner, small_a).view(ctx.shape)
        of_a, of_b = torch.mm(of_inner.t(), flat).to(ctx.dtypes[0]), torch.mm(grad.t(), inner).to(ctx.dtypes[1])
        return of_x, None, None, of_a, of_b.mul_(ctx.scaling), None
