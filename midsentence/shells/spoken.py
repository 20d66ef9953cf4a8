"""An answer as it is spoken, and the user who hears it and speaks again.

Owns how much of an answer has been heard at any time, and the interface of a simulated user (`User`), whose turns come when the
agent's answers let them. Does not know voices and what users say: whoever makes the conversation supplies them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from midsentence.core.events import EndPredicted, Silence, UserUpdate


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer with the time of each of its words."""

    start_ns: int
    """When its first word begins."""
    words: tuple[tuple[str, int, int], ...]
    """Text, start and end of each word, in order."""

    @property
    def end_ns(self) -> int:
        """When its last word has been said; its start if it has none."""
        return self.words[-1][2] if self.words else self.start_ns

    def heard(self, at_ns: int) -> str:
        """The words that had been said completely by a time."""
        return " ".join(text for text, _, end_ns in self.words if end_ns <= at_ns)


class User(Protocol):
    """Who speaks with the agent. Pure: what it does follows from its seed and from what it is told, so a log can be replayed."""

    def voice(self, turn: int, text: str, at_ns: int) -> Spoken:
        """An answer to a turn as it is spoken from ``at_ns`` on; turns are counted from 0."""
        ...

    def next(self, turn: int, spoken: Spoken) -> tuple[int, Iterable[UserUpdate | EndPredicted | Silence]] | None:
        """When the user begins to say a turn, the answer to the one before being spoken so, and what the recogniser passes on of it.

        None where there is no such turn: the conversation is over.
        """
        ...
