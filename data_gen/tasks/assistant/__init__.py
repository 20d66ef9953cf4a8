"""Requests to an assistant: one to five intents with real dependencies over a seeded world.

Owns the source `assistant`: its tasks by index, made when they are asked for, and the check that its splits share
nothing. Does not know what is done with a task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from data_gen.task import Split, Task
from data_gen.tasks.assistant.compose import PLAIN, Style, compose, pairs
from data_gen.tasks.assistant.entities import KINDS, SPLITS, pool
from data_gen.tasks.assistant.intents import INTENTS
from data_gen.tasks.assistant.templates import TAILS, tails, templates
from data_gen.tasks.assistant.worlds import COUNTS, setting


class Lazy(Sequence[Task]):
    """Tasks that are made when they are asked for, each from its index alone."""

    def __init__(self, count: int, make: Callable[[int], Task]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        if isinstance(index, slice):
            chosen = range(self._count)[index]
            return Lazy(len(chosen), lambda n: self._make(chosen[n]))
        return self._make(range(self._count)[index])


def tasks(split: Split, seed: int = 0, count: int = 1000, style: Style = PLAIN) -> Sequence[Task]:
    """The first ``count`` tasks of a split."""
    check_splits()
    return Lazy(count, lambda index: compose(split, index, seed, style))


def owned() -> dict[str, dict[Split, frozenset[Any]]]:
    """What each split has of its own: templates, pairs of tools, names and texts of every kind, worlds."""
    found: dict[str, dict[Split, frozenset[Any]]] = {
        "templates": {
            split: frozenset(
                t.id for name in INTENTS for indirect in (False, True) for t in templates(name, split, indirect)
            )
            | frozenset(t.id for slot in TAILS for t in tails(slot, split))
            for split in SPLITS
        },
        "pairs": {split: pairs(split) for split in SPLITS},
        "worlds": {split: frozenset(setting(split, n).data for n in range(min(8, COUNTS[split]))) for split in SPLITS},
    }
    return found | {kind: {split: frozenset(pool(kind, split)) for split in SPLITS} for kind in KINDS}


_checked = False


def check_splits() -> None:
    """Asserts that the splits share no template, pair of tools, name, text or world; once a process.

    Raises:
        ValueError: they do; the text names what and the splits.
    """
    global _checked
    if _checked:
        return
    for what, by_split in owned().items():
        for n, a in enumerate(SPLITS):
            for b in SPLITS[n + 1 :]:
                if common := by_split[a] & by_split[b]:
                    raise ValueError(
                        f"splits {a} and {b} share {len(common)} of {what}, such as {min(common)!r}; they must be disjoint"
                    )
    _checked = True
