"""Linear layers with weights in oneDNN's own layout: the same products, about twice as fast on a CPU in float32.

The plain layer lays its weights out anew at every call, and the library behind it is slow on some makers' processors;
batches of a few to a few hundred tokens, which is all that serving sees, suffer the most. Owns the replacement. Does
not know what the layers are for. A model so changed can be run, not trained or saved.
"""

from __future__ import annotations

import torch
from torch import nn

_BATCH_HINT = 16


class PackedLinear(nn.Module):
    """A linear layer whose weights were laid out once."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        # no buffer: its layout is opaque, and nothing may try to move or save it
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), _BATCH_HINT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) → (..., out_features)."""
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")


def can_pack(model: nn.Module) -> bool:
    """Whether the model computes in float32 on a CPU, and this build of torch has the operators."""
    parameter = next(model.parameters())
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    try:
        # the operators are the compiler's own, not documented: tried out before they are relied on
        probe, x = nn.Linear(32, 16), torch.ones(1, 3, 32)
        with torch.inference_mode():
            return bool(torch.allclose(PackedLinear(probe)(x), probe(x), atol=1e-4))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


@torch.no_grad()
def pack(model: nn.Module) -> int:
    """Replaces every plain linear layer, in place; gives how many."""
    plain = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) is nn.Linear
    ]
    for parent, name, layer in plain:
        setattr(parent, name, PackedLinear(layer))
    return len(plain)
