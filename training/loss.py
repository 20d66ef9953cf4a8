"""The loss over supervised positions only.

Owns a forward pass that applies the output head to the positions whose next id is supervised, in chunks: with a
vocabulary of 150,000 and a third of the ids supervised, logits of all positions are where the memory goes. Does not
know where the positions come from.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

CHUNK_POSITIONS = 2048
"""Most positions whose logits exist at a time; more are computed again in the backward pass, chunk by chunk."""

_SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")


def add_loss(model: PreTrainedModel, chunk_positions: int = CHUNK_POSITIONS) -> None:
    """Lets ``model(..., places=, targets=)`` return the loss of each target, as ``logits`` of shape (S,).

    It happens inside the model's own forward, so that launchers that wrap it (DDP, FSDP, ZeRO) see nothing unusual.
    Without ``places`` the forward is what it was.

    Raises:
        ValueError: the model changes its logits after the head, so that the head alone would be wrong.
    """
    config = model.config.get_text_config()
    if odd := [name for name in _SCALED if getattr(config, name, None) not in (None, 1, 1.0)]:
        raise ValueError(
            f"{type(model).__name__} has {odd[0]}, which train.loss=chunked does not apply; set train.loss=full"
        )
    plain = model.forward

    def forward(self: PreTrainedModel, *args: Any, places: Any = None, targets: Any = None, **kwargs: Any) -> Any:
        if places is None:
            return plain(*args, **kwargs)
        hidden = self.base_model(*args, use_cache=False, **kwargs).last_hidden_state
        losses = target_losses(hidden[0, places], targets, self.get_output_embeddings(), chunk_positions)
        return CausalLMOutput(logits=losses)

    model.forward = MethodType(forward, model)


def target_losses(
    hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module, chunk_positions: int
) -> torch.Tensor:
    """Cross-entropy of each target: hidden (S, H), targets (S,) → (S,) float32."""
    if len(targets) <= chunk_positions:
        return _losses(hidden, targets, head)
    chunks = zip(hidden.split(chunk_positions), targets.split(chunk_positions), strict=True)
    return torch.cat([checkpoint(_losses, h, t, head, use_reentrant=False) for h, t in chunks])


def _losses(hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module) -> torch.Tensor:
    return functional.cross_entropy(head(hidden).float(), targets, reduction="none")


def full_losses(logits: torch.Tensor, places: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same from the logits of all positions: (1, N, V) → (S,). What the chunked loss is measured against."""
    return functional.cross_entropy(logits[0].float()[places], targets, reduction="none")
