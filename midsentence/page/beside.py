"""Runs each request again in another mode, to show both latencies: when the device is free, and with separate tools.

Owns what a request was (the words as they stood in the end, and how long after the last of them the end of speech was
told), and that the user comes first: when they speak, what runs here ends at once and begins anew, from the first turn,
after the next answer. Does not
draw: what happens is told as of the session that the user talks to (`midsentence.page.telling`), moved in time so that
both heard the last word at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from midsentence.clock import NS_PER_S, seconds
from midsentence.core.events import Command, Event, UserUpdate
from midsentence.core.state import Phase
from midsentence.page.telling import Teller, Told
from midsentence.shells.inbox import merged
from midsentence.shells.live import Session, SessionEnded

PATIENCE_S = 60.0
"""The longest wait for an answer here."""
MOST_TURNS = 12
"""Turns that are caught up with; after more, nothing is compared in this conversation."""
_TOLD = ("span", "wrote", "stopped", "call", "refused", "say", "answered")

Watch = Callable[[Event, tuple[Command, ...]], None]
Open = Callable[[Watch], Session]


@dataclass(slots=True)
class Request:
    """What the user said in one turn."""

    updates: list[UserUpdate] = field(default_factory=list)
    """All updates of the turn, in order."""

    def parts(self) -> tuple[UserUpdate | None, UserUpdate, int]:
        """All words but the last ones, the last ones, and how long after those, in nanoseconds, the end was told."""
        words = [update for update in self.updates if update.text.strip() or update.retracts]
        *before, last = words or self.updates[-1:]
        first = None
        for update in before:
            first = update if first is None else merged(first, update)
        end_ns = max((update.at_ns for update in self.updates if update.final), default=last.at_ns)
        return first, last, max(0, end_ns - last.at_ns)


class Beside:
    """The other session of one conversation."""

    def __init__(self, open_session: Open, tell: Callable[[Told], None]) -> None:
        """Runs nothing yet.

        Args:
            open_session: a fresh session in the other mode, over tools of its own.
            tell: takes what the page is to be told.
        """
        self._open, self._tell = open_session, tell
        self._requests: dict[int, Request] = {}
        self._answered: list[int] = []
        self._running: asyncio.Task[None] | None = None

    def hears(self, update: UserUpdate, turn: int) -> None:
        """The user goes on: they have the device."""
        self._requests.setdefault(turn, Request()).updates.append(update)
        self.stop()

    def stop(self) -> None:
        """Ends what runs, if anything does."""
        if self._running is not None and not self._running.done():
            self._running.cancel()

    def answered(self, turn: int, group: asyncio.TaskGroup) -> None:
        """The user's session has answered a turn; the same begins here."""
        if turn in self._requests and turn not in self._answered:
            self._answered.append(turn)
        if len(self._answered) <= MOST_TURNS:
            self.stop()
            self._running = group.create_task(self._run(list(self._answered)), name="beside")

    async def _run(self, turns: list[int]) -> None:
        try:
            teller, heard = Teller(), _Heard()
            session = self._open(lambda event, commands: heard.take(event, commands, session, teller, self._tell))
            async with session:
                for turn in turns:
                    heard.turn, heard.said_s = turn, seconds(self._requests[turn].parts()[1].at_ns)
                    heard.shows = turn == turns[-1]
                    if heard.shows:
                        self._tell({"kind": "began", "turn": turn, "at": heard.said_s})
                    await self._say(session, heard, self._requests[turn])
                    await session.answer(PATIENCE_S)
        except (SessionEnded, TimeoutError) as error:
            self._tell(
                {
                    "kind": "failed",
                    "turn": turns[-1],
                    "at": 0.0,
                    "text": str(error) or f"no answer within {PATIENCE_S:g} s",
                }
            )
        except Exception as error:  # whatever a model's backend raises is no reason to end the user's own session
            self._tell(
                {"kind": "failed", "turn": turns[-1], "at": 0.0, "text": f"{type(error).__name__}: {error}"[:200]}
            )

    @staticmethod
    async def _say(session: Session, heard: _Heard, request: Request) -> None:
        first, last, wait_ns = request.parts()
        if first is not None and first.text:
            heard.quiet.clear()
            await session.hear(first.text)
            async with asyncio.timeout(PATIENCE_S):
                await heard.quiet.wait()  # they have been taken in, as they would have been while the user spoke on
        await session.hear(last.text, retracts=last.retracts if first is not None else 0, final=not wait_ns)
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)  # noqa: TID251  (the user's own silence, once more)
            await session.hear("", final=True)


@dataclass(slots=True)
class _Heard:
    """Where the other session is."""

    turn: int = 0
    said_s: float = 0.0
    """When the user's own session heard the last word of the turn."""
    shows: bool = False
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is taken in or written."""

    def take(
        self,
        event: Event,
        commands: tuple[Command, ...],
        session: Session,
        teller: Teller,
        tell: Callable[[Told], None],
    ) -> None:
        found = teller.tell(event, commands, session.state)
        if isinstance(event, UserUpdate) or session.state.phase is not Phase.IDLE or session.state.inbox:
            self.quiet.clear()
        if session.state.phase is Phase.IDLE and not session.state.inbox:
            self.quiet.set()
        later_s = self.said_s - seconds(teller.last_word_ns)
        for told in found:
            if self.shows and told["kind"] in _TOLD:
                tell(told | {"turn": self.turn, "at": round(told["at"] + later_s, 3)})
