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

TILE = 160
"""Queries of a tile: of a block of 600, two thirds of the time of the whole square on one core, forward and back, of 900 half."""

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

    On a CPU, torch's own kernel for bfloat16 takes two to three times as long for blocks of this size, forward and back. The
    weights, (heads, n, m), are kept for the backward pass: blocks are single trajectories, so they are small. A long block that
    continues nothing, a prompt, goes in tiles of queries, each with the keys up to its own: half of the square is never computed.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """What each query sees: all keys but the last ``n``, and of those the ones up to its own."""
        (_, heads, n, d), (_, kv_heads, m, _) = query.shape, key.shape
        out, kept = torch.empty(1, heads, n, d, dtype=query.dtype, device=query.device), []
        for start, end in _tiles(n, m):
            seen, rows = m - n + end, end - start
            grouped = (query[:, :, start:end] * scaling).reshape(kv_heads, -1, d)
            scores = torch.bmm(grouped, key[0, :, :seen].transpose(1, 2)).view(heads, rows, seen)
            scores[..., seen - rows:].masked_fill_(torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu(1), float("-inf"))
            weights = torch.softmax(scores, dim=-1).view(kv_heads, -1, seen)
            out[:, :, start:end] = torch.bmm(weights, value[0, :, :seen]).view(1, heads, rows, d)
            kept += [grouped, weights]
        ctx.save_for_backward(key, value, *kept)
        ctx.scaling = scaling
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        """The gradients of query, key and value; a weight of zero passes none on, so nothing is masked again."""
        key, value, *kept = ctx.saved_tensors
        (n, d), m = grad.shape[2:], key.shape[2]
        of_query = torch.empty_like(grad)
        of_key = of_value = key.new_empty(0)
        # the last tile sees all keys
        for (start, end), grouped, weights in reversed([*zip(_tiles(n, m), kept[::2], kept[1::2])]):
            seen = m - n + end
            of_out = grad[:, :, start:end].reshape(grouped.shape)
            of_weights = torch.bmm(of_out, value[0, :, :seen].transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_query[:, :, start:end] = torch.bmm(of_scores, key[0, :, :seen]).mul_(ctx.scaling).view(1, -1, end - start, d)
            tile_key, tile_value = torch.bmm(of_scores.transpose(1, 2), grouped), torch.bmm(weights.transpose(1, 2), of_out)
            if end == n:
                of_key, of_value = tile_key, tile_value
            else:
                of_key[:, :seen] += tile_key
                of_value[:, :seen] += tile_value
        return of_query, of_key[None], of_value[None], None


def _tiles(n: int, m: int) -> list[tuple[int, int]]:
    """Queries that go together, half-open; all of them where most keys come before the block, for nothing would be left out."""
    size = TILE if n == m else n
    return [(start, min(start + size, n)) for start in range(0, n, size)]


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
