"""Attention over packed rows: no trajectory sees another, nothing is padded, and a shared prompt is computed once.

Owns the layout of a micro-batch: one flat row of blocks, each a trajectory, or the prompt that several have in common.
Attention runs block by block, so no mask of the whole row is ever built. Does not know ids, labels and the loss.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "midsentence_blocks"
FLASH = "midsentence_varlen"
"""The same by flash attention: `training.kernels`. A name with "flash" in it would make transformers look for a package
of that name."""

TILE = 160
"""Queries of a tile: of a block of 600, two thirds of the time of the whole square on one core, forward and back, of
900 half."""

Layout = tuple[tuple[int, int, int, int], ...]
"""A block each: positions ``[start, end)`` of the flat row, and ``[prefix start, prefix end)`` of the shared prompt
that it continues (empty where it stands alone). Plain integers, so that any launcher can hand it on."""


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    layout: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Block-diagonal causal attention: query (1, heads, N, d), key and value (1, kv_heads, N, d) → (1, N, heads, d)."""
    if layout is None:  # the model is used in the ordinary way
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            **kwargs,
        )
        return plain
    check_window(layout, kwargs.get("sliding_window"))
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout:
        return PlainAttention.apply(query, key, value, layout, scaling or query.shape[-1] ** -0.5), None
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    pieces = []
    for block in layout:
        start, end, prefix, prefix_end = block
        mask, keys, values = None, _seen(key, block), _seen(value, block)
        if past := prefix_end - prefix:
            mask = torch.ones(end - start, past + end - start, dtype=torch.bool, device=query.device).tril(past)
        pieces.append(
            functional.scaled_dot_product_attention(
                query[:, :, start:end],
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                dropout_p=dropout,
            )
        )
    return torch.cat(pieces, dim=2).transpose(1, 2).contiguous(), None


def _seen(tensor: torch.Tensor, block: tuple[int, int, int, int]) -> torch.Tensor:
    """Of keys or values (…, N, d) those that a block sees: the prompt that it continues, and its own."""
    start, end, prefix, prefix_end = block
    own = tensor[..., start:end, :]
    return torch.cat([tensor[..., prefix:prefix_end, :], own], dim=-2) if prefix_end > prefix else own


def check_window(layout: Layout, window: int | None) -> None:
    """Refuses blocks that a sliding window would cut.

    Raises:
        ValueError: a block and its prompt are longer than the window.
    """
    longest = max(end - start + prefix_end - prefix for start, end, prefix, prefix_end in layout)
    if window is not None and longest > window:
        raise ValueError(
            f"{longest} tokens pass the model's attention window of {window}; set train.max_length={window}"
        )


class PlainAttention(torch.autograd.Function):
    """Block-diagonal causal attention in two matrix products a block: query (1, heads, N, d), key and value (1,
    kv_heads, N, d) → (1, N, heads, d).

    On a CPU, torch's own kernel for bfloat16 takes two to three times as long for blocks of this size, forward and
    back. The weights, (heads, n, m) of a block that sees m keys, are kept for the backward pass: blocks are single
    trajectories, so they are small. A long block that continues nothing, a prompt, goes in tiles of queries, each with
    the keys up to its own: half of the square is never computed. All blocks are one function, so that each writes its
    gradients where they belong: autograd would make a whole row of zeros for every slice, and add it up.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float
    ) -> torch.Tensor:
        """What each query sees: all keys of its prompt, and of its own block those up to its own."""
        (_, heads, length, d), kv_heads = query.shape, key.shape[1]
        out = query.new_empty(1, length, heads, d)
        longest = max(rows for _, _, rows, _ in _pieces(layout))
        later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
        kept, seen = [], [(_seen(key[0], block), _seen(value[0], block)) for block in layout]
        for n, start, rows, sees in _pieces(layout):
            keys, values = seen[n]
            grouped = torch.mul(query[0, :, start : start + rows], scaling, out=query.new_empty(heads, rows, d)).view(
                kv_heads, -1, d
            )
            scores = torch.bmm(grouped, keys[:, :sees].transpose(1, 2)).view(heads, rows, sees)
            scores[..., sees - rows :].masked_fill_(later[:rows, :rows], float("-inf"))
            weights = torch.softmax(scores, dim=-1).view(kv_heads, -1, sees)
            out[0, start : start + rows] = torch.bmm(weights, values[:, :sees]).view(heads, rows, d).transpose(0, 1)
            kept += [grouped, weights]
        ctx.save_for_backward(key, value, *(tensor for pair in seen for tensor in pair), *kept)
        ctx.layout, ctx.scaling = layout, scaling
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        """The gradients of query, key and value; a weight of zero passes none on, so nothing is masked again.

        What several blocks give a key that they share is summed in float32 or better.
        """
        key, value, *saved = ctx.saved_tensors
        seen, kept = saved[: 2 * len(ctx.layout)], saved[2 * len(ctx.layout) :]
        of_query = torch.empty_like(grad).transpose(1, 2)
        of_key, of_value = (
            torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32)) for tensor in (key, value)
        )
        for (n, start, rows, sees), grouped, weights in zip(_pieces(ctx.layout), kept[::2], kept[1::2], strict=True):
            keys, values = (tensor[:, :sees] for tensor in seen[2 * n : 2 * n + 2])
            of_out = grad[0, start : start + rows].transpose(0, 1).reshape(grouped.shape)
            of_weights = torch.bmm(of_out, values.transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_grouped = torch.bmm(of_scores, keys).view(-1, rows, grad.shape[-1])
            torch.mul(of_grouped, ctx.scaling, out=of_query[0, :, start : start + rows])
            begin, _, prefix, prefix_end = ctx.layout[n]
            past = prefix_end - prefix
            for whole, piece in (
                (of_key, torch.bmm(of_scores.transpose(1, 2), grouped)),
                (of_value, torch.bmm(weights.transpose(1, 2), of_out)),
            ):
                whole[0, :, prefix:prefix_end] += piece[:, :past]
                whole[0, :, begin : begin + sees - past] += piece[:, past:]
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None, None


@lru_cache(maxsize=4)
def _pieces(layout: Layout) -> tuple[tuple[int, int, int, int], ...]:
    """What goes in one product, a row each: which block, its first query's place in the row, queries, and keys that
    they see."""
    found = []
    for n, (begin, end, prefix, prefix_end) in enumerate(layout):
        past, length = prefix_end - prefix, end - begin
        for start, stop in _tiles(length, past + length):
            found.append((n, begin + start, stop - start, past + stop))
    return tuple(found)


def _tiles(n: int, m: int) -> list[tuple[int, int]]:
    """Queries that go together, half-open; all of them where most keys come before the block, for nothing would be left
    out."""
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
        raise ValueError(
            f"{type(model).__name__} has layers of kind {', '.join(sorted(odd))}; use a model of attention only"
        )
    if model.config._attn_implementation == FLASH:
        return
    model.set_attn_implementation(ATTENTION)
    if model.config._attn_implementation != ATTENTION:
        raise ValueError(f"{type(model).__name__} does not let its attention be set; use another model")
