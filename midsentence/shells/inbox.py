"""What waits for the core of a live session, and what is due to come: events in the order of their times, words,
timers.

Owns the queue, the tasks whose end is an event, and that words never wait for the model: while the core can't keep up,
updates are put together into one. Does not know what an event means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from midsentence.clock import NS_PER_S, WallClock, ns
from midsentence.core.events import PRIORITY, Event, Silence, Timer, UserUpdate
from midsentence.core.state import State
from midsentence.shells.limits import Limits


@dataclass(frozen=True, slots=True)
class Broke:
    """The model failed. Waits in the inbox behind what it wrote before: a failure after an action's end is no
    failure."""

    at_ns: int
    """When."""
    error: Exception
    """What its backend raised, or that it took too long."""
    span: object | None
    """The generation in which it did (`midsentence.shells.live_writing.Span`), or None for an append."""


class Inbox:
    """The events of one session that its core has not seen."""

    def __init__(self, clock: WallClock, limits: Limits, group: asyncio.TaskGroup, counts_silence: bool) -> None:
        """Empty.

        Args:
            clock: the session's.
            limits: the session's.
            group: the session's tasks.
            counts_silence: whether the core is told how long nobody has spoken.
        """
        self.clock, self.limits = clock, limits
        self._group, self._counts_silence = group, counts_silence
        self._queue: asyncio.PriorityQueue[tuple[int, int, int, Event | Broke]] = asyncio.PriorityQueue(
            limits.inbox_events
        )
        self._seq = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._backlog: UserUpdate | None = None
        self._silence: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._queue.qsize()

    @property
    def takes_hints(self) -> bool:
        """Whether no words wait: a hint at a pause would come before words that were said before it."""
        return self._backlog is None and not self._queue.full()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts what brings events."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Ends all that was started so."""
        for task in self._tasks:
            task.cancel()

    async def put(self, item: Event | Broke) -> None:
        """Leaves an event, and waits while the inbox is full."""
        self._seq += 1
        await self._queue.put((item.at_ns, PRIORITY.get(type(item), 0), self._seq, item))

    def put_now(self, event: Event, force: bool = False) -> None:
        """Leaves an event, if need be, with ``force``, as soon as there is room.

        Raises:
            asyncio.QueueFull: there is none.
        """
        self._seq += 1
        row = (event.at_ns, PRIORITY[type(event)], self._seq, event)
        if force and self._queue.full():
            self.start(self.put(event))
        else:
            self._queue.put_nowait(row)

    def hear(self, update: UserUpdate, behind: bool) -> None:
        """An update for the core, together with others if it is ``behind``."""
        self._count_silence(update)
        if self._backlog is not None:
            self._backlog = merged(self._backlog, update)
        elif self._queue.full() or behind:
            self._backlog = update
        else:
            self.put_now(update)

    async def next(self, timeout_s: float, behind: bool) -> Event | Broke | None:
        """The next event; None where nothing comes. Words that wait are given to a core that is not ``behind``."""
        if self._backlog is not None and not behind:
            update, self._backlog = self._backlog, None
            self.put_now(replace(update, at_ns=self.clock.now_ns()), force=True)
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._queue.get())[-1]
        except TimeoutError:
            return None

    def take(self) -> Event | Broke:
        """The next event of an inbox that is not empty."""
        return self._queue.get_nowait()[-1]

    def set_timer(self, at_ns: int, timer: int) -> None:
        """A timer goes off at its time."""
        self.start(self._timer(at_ns, timer))

    async def _timer(self, at_ns: int, timer: int) -> None:
        await asyncio.sleep(max(0, at_ns - self.clock.now_ns()) / NS_PER_S)
        await self.put(Timer(max(at_ns, self.clock.now_ns()), timer))

    def _count_silence(self, update: UserUpdate) -> None:
        """Words begin a new silence; the endpoint's word ends the count. A recogniser that says nothing ends none."""
        if not (update.text.strip() or update.retracts or update.final):
            return
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._counts_silence and not update.final:
            self._silence = self.start(self._silences(update.at_ns))

    async def _silences(self, since_ns: int) -> None:
        for step_s in self.limits.silence_s:
            await asyncio.sleep(max(0, since_ns + ns(step_s) - self.clock.now_ns()) / NS_PER_S)
            if self._backlog is not None:
                return  # words that still wait would come after it: what is silent is the recogniser's past
            await self.put(Silence(max(since_ns + ns(step_s), self.clock.now_ns()), ns(step_s)))


def is_behind(state: State, limits: Limits) -> bool:
    """Whether words can wait: the model is behind, and words that it has not seen already hold back what was
    committed."""
    waiting = state.inbox
    return len(waiting) >= limits.backlog_segments and any(
        pending.segment.kind in ("partial_query_update", "final_query_update") for pending in waiting
    )


def merged(old: UserUpdate, new: UserUpdate) -> UserUpdate:
    """Two updates as one: what the second takes back is gone before anybody saw it. One that says nothing at all takes
    back no end of speech."""
    words = old.text.split()
    final = new.final or old.final and not new.text.strip() and not new.retracts
    kept = words[: max(0, len(words) - new.retracts)]
    text = " ".join([*kept, *new.text.split()])
    return UserUpdate(new.at_ns, text, final, old.retracts + max(0, new.retracts - len(words)))
