"""From packed rows to one micro-batch of tensors.

Owns the flat row: examples end to end, position ids that begin anew with each, and a prompt that several examples share
written once. Nothing is padded, so no pad token can be mistaken for anything. Refuses to know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.attention import Layout
from training.tokens import IGNORED, Example


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

        for group in self._groups([self.examples[index] for row in rows for index in row["rows"]]):
            prompt = group[0].prompt_tokens if len(group) > 1 else 0
            prefix = (at, at + prompt)
            if prompt:
                add(group[0], 0, prompt, (0, 0))
            for example in group:
                add(example, prompt, len(example), prefix if prompt else (0, 0))
        return _tensors(ids, labels, kinds, positions, tuple(layout))

    def _groups(self, examples: Sequence[Example]) -> list[list[Example]]:
        """Examples that begin alike; the id after a shared prompt is the environment's, so no target is lost."""
        if not self.share_prompts:
            return [[example] for example in examples]
        groups: dict[bytes, list[Example]] = {}
        for n, example in enumerate(examples):
            shared = 0 < example.prompt_tokens < len(example) and example.labels[example.prompt_tokens] == IGNORED
            key = example.ids[:example.prompt_tokens].tobytes() if shared else repr(n).encode()
            groups.setdefault(key, []).append(example)
        return list(groups.values())


def _tensors(
    ids: list[np.ndarray], labels: list[np.ndarray], kinds: list[np.ndarray], positions: list[np.ndarray], layout: Layout
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
