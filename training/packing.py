"""The order of training: which examples make up which packed row, for the whole run, before it begins.

Owns shuffling, mixing of sources by weight, packing and the token budget. All of it follows from the seed, so a run
that is resumed goes on exactly where it was. Does not know token ids: it works on lengths.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Schedule:
    """All rows of a run, in order."""

    rows: tuple[tuple[int, ...], ...]
    """Indices of the examples in each packed row; a whole number of global batches."""
    batch_rows: int
    """Rows of a global batch."""
    tokens: int
    """Ids that go through the model, prompts included."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return len(self.rows) // self.batch_rows


def child(seed: int, *names: object) -> random.Random:
    """A generator of its own for each purpose."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def shares(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Rows an epoch takes of each source: all that there are, or, with weights, as many rows in their proportion."""
    if not weights:
        return list(sizes)
    total = sum(weights)
    return [max(1, round(sum(sizes) * weight / total)) for weight in weights]


def _stream(first: int, size: int, seed: int, source: int) -> Iterator[int]:
    """A source's examples, again and again, each pass in another order."""
    turn = 0
    while True:
        order = list(range(first, first + size))
        child(seed, "source", source, turn).shuffle(order)
        yield from order
        turn += 1


def _epochs(sizes: Sequence[int], weights: Sequence[float], seed: int) -> Iterator[list[int]]:
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    streams = [_stream(first, size, seed, n) for n, (first, size) in enumerate(zip(firsts, sizes, strict=True))]
    epoch = 0
    while True:
        order = [
            index
            for stream, share in zip(streams, shares(sizes, weights), strict=True)
            for index in islice(stream, share)
        ]
        child(seed, "epoch", epoch).shuffle(order)
        yield order
        epoch += 1


def pack(order: Sequence[int], lengths: Sequence[int], max_length: int, window: int = 256) -> list[tuple[int, ...]]:
    """Puts examples into rows of at most ``max_length`` ids, each example whole.

    Best fit, longest first, within windows of the given order: rows come out nearly full, and still in random order.
    """
    rows: list[tuple[int, ...]] = []
    for at in range(0, len(order), window):
        bins: list[list[int]] = []
        room: list[int] = []
        for index in sorted(order[at : at + window], key=lambda index: -lengths[index]):
            fits = [n for n, free in enumerate(room) if free >= lengths[index]]
            if fits:
                best = min(fits, key=lambda n: room[n])
                bins[best].append(index)
                room[best] -= lengths[index]
            else:
                bins.append([index])
                room.append(max_length - lengths[index])
        place = {index: n for n, index in enumerate(order[at : at + window])}
        rows += sorted((tuple(b) for b in bins), key=lambda b: min(place[index] for index in b))
    return rows


def schedule(
    lengths: Sequence[int],
    sizes: Sequence[int],
    *,
    seed: int,
    batch_rows: int,
    max_length: int,
    weights: Sequence[float] = (),
    packing: bool = True,
    epochs: float = 1.0,
    max_tokens: int = 0,
    max_steps: int = 0,
    micro_batch_rows: int = 0,
    cost: Callable[[Sequence[Sequence[int]]], int] | None = None,
) -> Schedule:
    """The rows of the whole run, in whole global batches.

    Args:
        lengths: ids of every example, the sources one after the other.
        sizes: examples of each source.
        seed: everything follows from it.
        batch_rows: rows of a global batch.
        max_length: most ids of a packed row.
        weights: of the sources; empty for in proportion to their rows.
        packing: whether several examples share a row.
        epochs: passes over the data; the last batch is filled up from the next pass.
        max_tokens: ends the run with the last batch that keeps within; 0 for no limit. At least one batch is trained
            on.
        max_steps: most batches; 0 for no limit.
        micro_batch_rows: rows that go through the model together; 0 for the whole batch.
        cost: ids that the rows of a micro-batch have, `training.batch.Collator.tokens`; by default the sum of their
            lengths.
    """

    def tokens_of(batch: Sequence[Sequence[int]]) -> int:
        parts = [batch[at : at + micro] for at in range(0, len(batch), micro)]
        return sum(cost(part) if cost else sum(lengths[index] for row in part for index in row) for part in parts)

    micro = micro_batch_rows or batch_rows
    rows: list[tuple[int, ...]] = []
    wanted, left = 0, epochs
    for order in _epochs(sizes, weights, seed):
        made = pack(order, lengths, max_length) if packing else [(index,) for index in order]
        wanted += round(min(max(left, 0.0), 1.0) * len(made))
        left -= 1
        rows += made
        steps = max(1, -(-wanted // batch_rows))
        if left <= 0 and len(rows) >= steps * batch_rows or max_steps and wanted >= max_steps * batch_rows:
            break
    steps = min(steps, max_steps) if max_steps else steps
    tokens, kept = 0, 0
    while kept < steps:
        batch = tokens_of(rows[kept * batch_rows : (kept + 1) * batch_rows])
        if max_tokens and kept and tokens + batch > max_tokens:
            break
        tokens, kept = tokens + batch, kept + 1
    return Schedule(tuple(rows[: kept * batch_rows]), batch_rows, tokens)
