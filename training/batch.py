"""Builds one micro-batch of tensors from packed rows.

Owns the flat row: examples end to end, position ids that restart with each, and a common beginning of several prompts
written once. Nothing is padded, so no pad token can be mistaken for anything. Does not know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.attention import Layout
from training.tokens import IGNORED, Example

LEAST_SHARED = 32
"""Prompts whose first so many ids differ are not looked at for more: a shorter prefix would not pay."""


class Collator:
    """Makes a micro-batch of packed rows, each a list of indices of examples."""

    def __init__(self, examples: Sequence[Example], share_prompts: bool = True) -> None:
        self.examples, self.share_prompts = examples, share_prompts

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One flat row of N ids.

        Returns:
            ``input_ids``, ``position_ids``, ``labels`` (1, N); ``places`` (S,) of the ids before each supervised one;
            ``targets`` (S,), what stands there; ``kinds`` (S,), what it is part of; ``layout``.
        """
        ids: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        kinds: list[np.ndarray] = []
        positions: list[np.ndarray] = []
        layout: list[tuple[int, int, int, int]] = []
        at = 0

        def add(example: Example, begin: int, end: int, prefix: tuple[int, int]) -> None:
            nonlocal at
            ids.append(example.ids[begin:end])
            labels.append(example.labels[begin:end])
            kinds.append(example.kinds[begin:end])
            positions.append(np.arange(begin, end))
            layout.append((at, at + end - begin, *prefix))
            at += end - begin

        for group, common in self._groups([index for row in rows for index in row["rows"]]):
            prefix = (at, at + common)
            if common:
                add(group[0], 0, common, (0, 0))
            for example in group:
                add(example, common, len(example), prefix if common else (0, 0))
        return _tensors(ids, labels, kinds, positions, tuple(layout))

    def tokens(self, rows: Sequence[Sequence[int]]) -> int:
        """Ids that a micro-batch of packed rows has, what is shared counted once."""
        return sum(
            sum(map(len, group)) - common * (len(group) - 1)
            for group, common in self._groups([index for row in rows for index in row])
        )

    def _groups(self, indices: Sequence[int]) -> list[tuple[list[Example], int]]:
        """Examples that begin alike, with how many ids they have in common; those that share nothing stand alone."""
        examples = [self.examples[index] for index in indices]
        if not self.share_prompts:
            return [([example], 0) for example in examples]
        alone = [([example], 0) for example in examples if example.prompt_tokens <= LEAST_SHARED]
        return alone + _grouped([example for example in examples if example.prompt_tokens > LEAST_SHARED], 0)


def _grouped(examples: Sequence[Example], same: int) -> list[tuple[list[Example], int]]:
    """Groups of examples whose first ``same`` ids are alike. A group is divided where its parts have so much more in
    common that it pays to compute the beginning in each: under one system header there may be several sets of tools."""
    groups: dict[bytes, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.ids[same : same + LEAST_SHARED].tobytes(), []).append(example)
    found: list[tuple[list[Example], int]] = []
    for group in groups.values():
        common = common_prefix(group) if len(group) > 1 else 0
        parts = _grouped(group, common) if common > same else []
        saved = sum(length * (len(part) - 1) for part, length in parts)
        found += parts if saved > common * (len(group) - 1) else [(group, common)]
    return found


def common_prefix(examples: Sequence[Example]) -> int:
    """How many of their first ids are the same in all of them, within the prompts and short of their last id.

    The id after it is the prompt's own, and no target: so none is lost where several continue one prefix.
    """
    first, most = examples[0].ids, min(example.prompt_tokens for example in examples) - 1
    for example in examples[1:]:
        differs = np.flatnonzero(first[:most] != example.ids[:most])
        most = int(differs[0]) if len(differs) else most
    return most


def _tensors(
    ids: list[np.ndarray],
    labels: list[np.ndarray],
    kinds: list[np.ndarray],
    positions: list[np.ndarray],
    layout: Layout,
) -> dict[str, Any]:
    label = np.concatenate(labels).astype(np.int64)
    supervised = np.flatnonzero(label != IGNORED)
    return {
        "input_ids": torch.from_numpy(np.concatenate(ids).astype(np.int64))[None],
        "position_ids": torch.from_numpy(np.concatenate(positions).astype(np.int64))[None],
        "labels": torch.from_numpy(label)[None],
        "places": torch.from_numpy(supervised - 1),
        "targets": torch.from_numpy(label[supervised]),
        "kinds": torch.from_numpy(np.concatenate(kinds)[supervised].astype(np.int64)),
        "layout": layout,
    }
