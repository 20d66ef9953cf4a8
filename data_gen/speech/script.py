"""An utterance in the making: words with their labels, and what they do to what is wanted.

Owns the editing of an utterance: a fragment goes in anywhere, and everything behind it moves along. `Script.finish`
gives the words and the edits of a `data_gen.grounding.derivation.Derivation`. Does not know intents, wordings and why
anything is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from data_gen.grounding.derivation import Edit
from data_gen.grounding.heard import SOFT, closes
from data_gen.task import Label


@dataclass(slots=True)
class Mark:
    """An edit in the making."""

    start: int
    """First word."""
    end: int
    """One past the last word."""
    op: Literal["open", "stage", "put", "drop"]
    """What it does; see `data_gen.grounding.derivation.Edit`."""
    clause: int
    """The clause that it changes."""
    slot: str = ""
    """``put``: the slot; ``open``: the intent."""
    item: int = 0
    """``put``: place in a slot that takes several values."""
    value: tuple[Any, ...] = ()
    """``put``: accepted values, canonical first."""
    eager: bool = False
    """Whether it could be all that is meant as soon as it is heard."""
    grows: bool = False
    """Whether the next word is part of a longer value, so that nothing but the end of speech closes this one."""
    spoken: bool = False
    """Whether the value is the words themselves."""


@dataclass(slots=True)
class Place:
    """Where a slot's value, or a clause, stands."""

    start: int
    """First word."""
    end: int
    """One past the last word."""
    clause: int
    """The clause."""
    slot: str = ""
    """The slot; empty for a clause."""
    item: int = 0
    """Place in a slot that takes several values."""
    body: int = 0
    """A clause: where it begins behind its connector."""
    bound: bool = False
    """Whether later words refer back to it, so that it must stay as it is."""


@dataclass(slots=True)
class Script:
    """Words, labels, marks and places."""

    words: list[str] = field(default_factory=list)
    """As they are said."""
    labels: list[Label] = field(default_factory=list)
    """Of each word."""
    soft: list[bool] = field(default_factory=list)
    """Words that close nothing: filled pauses, and words said a second time."""
    marks: list[Mark] = field(default_factory=list)
    """What runs of words do."""
    places: list[Place] = field(default_factory=list)
    """Where values and clauses stand."""

    def say(self, text: str, label: Label = "fluent") -> Place:
        """Adds words at the end; gives where they stand."""
        words = text.split()
        start = len(self.words)
        self.words += words
        self.labels += [label] * len(words)
        self.soft += [word in SOFT for word in words]
        return Place(start, len(self.words), 0)

    def add(self, fragment: Script) -> None:
        """Adds a fragment at the end."""
        self.insert(len(self.words), fragment)

    def insert(self, at: int, fragment: Script) -> None:
        """Puts a fragment before word ``at``; what ends there stays before it."""
        n = len(fragment.words)
        own: list[Mark | Place] = [*self.marks, *self.places]
        more: list[Mark | Place] = [*fragment.marks, *fragment.places]
        for thing in own:
            thing.start += n * (thing.start >= at)
            thing.end += n * (thing.end > at)
        for place in self.places:
            place.body += n * (place.body >= at and not place.slot)
        for thing in more:
            thing.start, thing.end = thing.start + at, thing.end + at
        for place in fragment.places:
            place.body += at
        self.words[at:at], self.labels[at:at], self.soft[at:at] = fragment.words, fragment.labels, fragment.soft
        self.marks += fragment.marks
        self.places += fragment.places

    def relabel(self, start: int, end: int, label: Label) -> None:
        """Labels words; those that were taken back or break off already stay so."""
        for n in range(start, end):
            if self.labels[n] in ("fluent", "repair"):
                self.labels[n] = label

    def cut(self, end: int) -> Script:
        """The first ``end`` words alone, without places."""
        marks = [mark for mark in self.marks if mark.end <= end]
        # a text that breaks off had begun all the same
        marks += [
            replace(mark, end=end, value=()) for mark in self.marks if mark.spoken and mark.start < end < mark.end
        ]
        return Script(self.words[:end], self.labels[:end], self.soft[:end], marks)

    def fluent(self) -> Script:
        """What is left without the words that were taken back or broke off."""
        kept = [n for n, label in enumerate(self.labels) if label in ("fluent", "repair")]
        where = {old: new for new, old in enumerate(kept)}
        left = Script([self.words[n] for n in kept], ["fluent"] * len(kept), [False] * len(kept))
        for mark in self.marks:
            words = [where[n] for n in range(mark.start, mark.end) if n in where]
            if words and mark.end - 1 in where:
                left.marks.append(
                    Mark(
                        words[0],
                        words[-1] + 1,
                        mark.op,
                        mark.clause,
                        mark.slot,
                        mark.item,
                        mark.value,
                        mark.eager,
                        mark.grows,
                        mark.spoken,
                    )
                )
        return left

    def clauses(self) -> list[Place]:
        """The clauses in the order in which they are said."""
        return sorted((place for place in self.places if not place.slot), key=lambda place: place.start)

    def values(self, clause: int) -> list[Place]:
        """Where the values of a clause stand."""
        return sorted(
            (place for place in self.places if place.slot and place.clause == clause), key=lambda place: place.start
        )

    def finish(self) -> tuple[Edit, ...]:
        """The edits, in the order of their words, each with the number of words that close it."""
        return edits(self.marks, [not closes(word) for word in self.words])


def edits(marks: Iterable[Mark], soft: Sequence[bool]) -> tuple[Edit, ...]:
    """Marks with what closes them: tools and withdrawals their own last word, values the next word that isn't soft:
    that they can't go on with (`data_gen.grounding.heard.closes`), or that they happen not to go on with would be
    known."""
    closers = [len(soft) + 1] * (len(soft) + 1)
    for n in range(len(soft) - 1, -1, -1):
        closers[n] = closers[n + 1] if soft[n] else n + 1
    found = []
    for mark in sorted(marks, key=lambda mark: mark.end):
        closes = mark.end if mark.op != "put" else closers[mark.end]
        found.append(
            Edit(
                mark.start,
                mark.end,
                mark.op,
                mark.clause,
                mark.slot,
                mark.item,
                mark.value,
                None if mark.grows or closes > len(soft) else closes,
                mark.eager,
                mark.grows,
                mark.spoken,
            )
        )
    return tuple(found)
