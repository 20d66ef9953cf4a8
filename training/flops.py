"""What a training step has to compute: floating-point operations of its matrix products, from shapes.

Owns the count that a step's speed is measured against. A product of (n, k) and (k, m) is ``2·n·k·m``. Counted is what
the step's result needs and nothing else: of attention the pairs that see each other; no padding, nothing computed
twice; no norms, no softmax. Does not know how the step is computed, and how fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import torch

_FIRST = re.compile(r"\.layers\.0\.self_attn\.[qkv]_proj$")
"""Layers whose input is the embeddings."""


@dataclass(frozen=True, slots=True)
class Flops:
    """Of one micro-batch, forward and back."""

    base: int
    """The model's own matrices but the head: forward, the gradient of the input, and of the weight where it is
    trained."""
    lora: int
    """Both matrices of every adapter: forward, and the gradients of input and weight."""
    attention: int
    """Scores and sums of values, forward and back."""
    head: int
    """Logits of the supervised positions, and the gradients."""

    @property
    def total(self) -> int:
        """Of all parts."""
        return sum(astuple(self))


def step_flops(model: Any, batch: Mapping[str, Any]) -> Flops:
    """Counts a step on a micro-batch of `training.batch.Collator`.

    Args:
        model: with or without LoRA.
        batch: what the collator made. ``spare`` ids at its end, where there are any, count for nothing.
    """
    tokens = batch["input_ids"].numel() - batch.get("spare", 0)
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    embeds = any(parameter.requires_grad for parameter in model.get_input_embeddings().parameters())
    base = lora = 0
    for name, module in model.named_modules():
        if module is head or ".lora_" in name:
            continue
        # nothing trained lies before the first layer's input, unless the embeddings are
        back = embeds or not _FIRST.search(name.removesuffix(".base_layer"))
        if isinstance(module, torch.nn.Linear):
            base += 2 * tokens * module.in_features * module.out_features * (1 + back + module.weight.requires_grad)
        for adapter in getattr(module, "active_adapters", ()) if hasattr(module, "lora_A") else ():
            rank = module.r[adapter]
            lora += 2 * tokens * rank * (module.in_features * (2 + back) + module.out_features * 3)
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = 3 * 4 * config.num_hidden_layers * width * _pairs(batch["layout"], tokens)
    logits = 2 * len(batch["targets"]) * head.weight.numel() * (2 + head.weight.requires_grad)
    return Flops(base, lora, attention, logits)


def _pairs(layout: Any, tokens: int) -> int:
    """Pairs of a query and a key that it sees."""
    own = ((end - start, prefix_end - prefix) for start, end, prefix, prefix_end in layout if start < tokens)
    return sum(n * past + n * (n + 1) // 2 for n, past in own)
