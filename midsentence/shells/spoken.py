"""An answer as it is spoken, and the user who hears it and speaks again.

Owns how much of an answer has been heard at any time, the interface of a simulated user (`User`), whose turns come when
the agent's answers let them, and what that makes of an episode (`Conversation`). Does not know voices and what users
say: whoever makes the conversation supplies them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from midsentence.core.events import EndPredicted, Event, Silence, Speaking, UserUpdate
from midsentence.shells.agenda import Agenda


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
    """Who speaks with the agent. Pure: what it does follows from its seed and from what it is told, so a log can be
    replayed."""

    def voice(self, turn: int, text: str, at_ns: int) -> Spoken:
        """An answer to a turn as it is spoken from ``at_ns`` on; turns are counted from 0."""
        ...

    def next(self, turn: int, spoken: Spoken) -> tuple[int, Iterable[UserUpdate | EndPredicted | Silence]] | None:
        """When the user begins to say a turn, the answer to the one before being spoken so, and what the recogniser
        passes on of it.

        None where there is no such turn: the conversation is over.
        """
        ...


class Conversation:
    """An episode's answers, spoken to its user; without one they are not spoken at all."""

    def __init__(self, user: User | None, agenda: Agenda) -> None:
        self._user, self._agenda = user, agenda
        self._spoken: Spoken | None = None
        """What is being said of an answer."""
        self.starts_ns = [0]
        """When the user began to say each turn that was said."""

    def speak(self, text: str, now_ns: int) -> None:
        """Speaks an answer; the user, unless still in the middle of a turn, hears it and says the next one."""
        if self._user is None:
            return
        turn = len(self.starts_ns) - 1
        spoken = self._spoken = self._user.voice(turn, text, now_ns)
        self._agenda.add(Speaking(now_ns, "begun"))
        self._agenda.decide(spoken.end_ns, Speaking, lambda at_ns: self._fall_silent(spoken, at_ns))
        if self._agenda.has_words or (said := self._user.next(turn + 1, spoken)) is None:
            return
        start_ns, updates = said
        self._agenda.unhear(start_ns)  # an endpoint that hears somebody speak again says nothing
        self.starts_ns.append(start_ns)
        self._agenda.hear(updates)

    def cut(self, now_ns: int) -> None:
        """Stops the voice, if it speaks."""
        if self._spoken is not None:
            heard, self._spoken = self._spoken.heard(now_ns), None
            self._agenda.add(Speaking(now_ns, "cut", heard))

    def _fall_silent(self, spoken: Spoken, at_ns: int) -> Event | None:
        if self._spoken is not spoken:
            return None
        self._spoken = None
        return Speaking(at_ns, "ended")
