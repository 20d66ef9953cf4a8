"""Attention over packed rows: no trajectory sees another, nothing is padded, and a shared prompt is computed once.

Owns the layout of a micro-batch: one flat row of blocks, each a trajectory, or the prompt that several have in common.
Attention runs block by block, so no mask of the whole row is ever built. Refuses to know ids, labels and the loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "midsentence_blocks"
FLASH = "midsentence_varlen"
"""The same by flash attention: `training.kernels`. A name with "flash" in it would make transformers look for a package of that name."""

Layout = tuple[tuple[int, int, int, int], ...]
"""A block each: positions ``[start, end)`` of the flat row, and ``[prefix start, prefix end)`` of the shared prompt that
it continues (empty where it stands alone). Plain integers, so that any launcher can hand it on."""


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any,
    layout: Layout | None = None, scaling: float | None = None, dropout: float = 0.0, **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Block-diagonal causal attention: query (1, heads, N, d), key and value (1, kv_heads, N, d) → (1, N, heads, d)."""
    if layout is None:  # the model is used in the ordinary way
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    check_window(layout, kwargs.get("sliding_window"))
    plain = query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout
    if not plain:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    pieces = []
    for start, end, prefix, prefix_end in layout:
        mask, keys, values = None, key[:, :, start:end], value[:, :, start:end]
        if past := prefix_end - prefix:
            keys = torch.cat([key[:, :, prefix:prefix_end], keys], dim=2)
            values = torch.cat([value[:, :, prefix:prefix_end], values], dim=2)
        if plain:
            pieces.append(PlainAttention.apply(query[:, :, start:end], keys, values, scaling or query.shape[-1] ** -0.5))
            continue
        if past:
            mask = torch.ones(end - start, past + end - start, dtype=torch.bool, device=query.device).tril(past)
        pieces.append(functional.scaled_dot_product_attention(
            query[:, :, start:end], keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling, dropout_p=dropout
        ))
    return torch.cat(pieces, dim=2).transpose(1, 2).contiguous(), None


def check_window(layout: Layout, window: int | None) -> None:
    """Refuses blocks that a sliding window would cut.

    Raises:
        ValueError: a block and its prompt are longer than the window.
    """
    longest = max(end - start + prefix_end - prefix for start, end, prefix, prefix_end in layout)
    if window is not None and longest > window:
        raise ValueError(f"{longest} tokens pass the model's attention window of {window}; set train.max_length={window}")


class PlainAttention(torch.autograd.Function):
    """Causal attention in two matrix products: query (1, heads, n, d), key and value (1, kv_heads, m, d), n ≤ m → (1, heads, n, d).

    On a CPU, torch's own kernel for bfloat16 takes several times as long for blocks of this size, forward and back. The
    weights, (heads, n, m), are kept for the backward pass: blocks are single trajectories, so they are small.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """What each query sees: all keys but the last ``n``, and of those the ones up to its own."""
        (_, heads, n, d), (_, kv_heads, m, _) = query.shape, key.shape
        grouped = (query * scaling).reshape(kv_heads, -1, d)
        scores = torch.bmm(grouped, key[0].transpose(1, 2)).view(heads, n, m)
        scores[..., m - n:].masked_fill_(torch.ones(n, n, dtype=torch.bool, device=query.device).triu(1), float("-inf"))
        weights = torch.softmax(scores, dim=-1).view(kv_heads, -1, m)
        ctx.save_for_backward(grouped, key, value, weights)
        ctx.scaling = scaling
        return torch.bmm(weights, value[0]).view(1, heads, n, d)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        """The gradients of query, key and value; a weight of zero passes none on, so nothing is masked again."""
        grouped, key, value, weights = ctx.saved_tensors
        shape = grad.shape
        grad = grad.reshape(grouped.shape)
        of_weights = torch.bmm(grad, value[0].transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = torch.bmm(of_scores, key[0]).mul_(ctx.scaling).view(shape)
        return of_query, torch.bmm(of_scores.transpose(1, 2), grouped)[None], torch.bmm(weights.transpose(1, 2), grad)[None], None


AttentionInterface.register(ATTENTION, attend)


def use_blocks(model: PreTrainedModel) -> None:
    """Gives a model this attention, unless it was given flash attention over the same blocks.

    Raises:
        ValueError: its attention can't be set, or it has layers of another kind.
    """
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    if odd := kinds - {"full_attention", "sliding_attention"}:
        raise ValueError(f"{type(model).__name__} has layers of kind {', '.join(sorted(odd))}; use a model of attention only")
    if model.config._attn_implementation == FLASH:
        return
    model.set_attn_implementation(ATTENTION)
    if model.config._attn_implementation != ATTENTION:
        raise ValueError(f"{type(model).__name__} does not let its attention be set; use another model")
