"""What is to happen in an episode, in the order of its times.

Owns the order, `midsentence.core.events.PRIORITY` at equal times, and which words are still to come. Does not know what
an event means.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from midsentence.core.events import PRIORITY, EndPredicted, Event, Silence, UserUpdate

Due = Callable[[int], Event | None]
"""Decides at its time, in ns, which event it is, if any."""


class Agenda:
    """A queue of events by their times."""

    def __init__(self, hears_silence: bool) -> None:
        """Empty.

        Args:
            hears_silence: whether the core is told of silences.
        """
        self._hears_silence = hears_silence
        self._queue: list[tuple[int, int, int, Event | Due]] = []
        self._seq = 0
        self.updates = 0
        """The user's updates that are still to come."""

    @property
    def due_ns(self) -> int | None:
        """When the next is due; None where there is none."""
        return self._queue[0][0] if self._queue else None

    @property
    def events(self) -> list[Event]:
        """What will happen, in order, but for what is still to be decided."""
        return [what for *_, what in sorted(self._queue, key=lambda entry: entry[:3]) if not callable(what)]

    @property
    def has_words(self) -> bool:
        """Whether the user still says something, or takes something back."""
        return any(isinstance(what, UserUpdate) and (what.text.strip() or what.retracts) for *_, what in self._queue)

    def add(self, event: Event) -> None:
        """An event that will happen at its time."""
        self._push(event.at_ns, PRIORITY[type(event)], event)

    def decide(self, at_ns: int, kind: type[Event], what: Due) -> None:
        """Something that is decided when its time has come, and then takes the turn of a ``kind``."""
        self._push(at_ns, PRIORITY[kind], what)

    def hear(self, updates: Iterable[UserUpdate | EndPredicted | Silence]) -> None:
        """What the recogniser will pass on."""
        for update in updates:
            if isinstance(update, Silence) and not self._hears_silence:
                continue
            self.updates += isinstance(update, UserUpdate)
            self.add(update)

    def unhear(self, from_ns: int) -> None:
        """What the recogniser would have passed on from a time on, it does not."""
        late = [
            entry
            for entry in self._queue
            if entry[0] >= from_ns and isinstance(entry[3], UserUpdate | EndPredicted | Silence)
        ]
        self.updates -= sum(isinstance(entry[3], UserUpdate) for entry in late)
        self._queue = [entry for entry in self._queue if entry not in late]
        heapq.heapify(self._queue)

    def take(self) -> Event | None:
        """The next event; None where what was due came to nothing."""
        at_ns, _, _, what = heapq.heappop(self._queue)
        event = what(at_ns) if callable(what) else what
        self.updates -= isinstance(event, UserUpdate)
        return event

    def _push(self, at_ns: int, priority: int, what: Event | Due) -> None:
        self._seq += 1
        heapq.heappush(self._queue, (at_ns, priority, self._seq, what))
