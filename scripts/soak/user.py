"""The user of a soaked session: several turns in real time, with words taken back, corrections, endpoints that are
wrong, and worse.

Owns what is said and when, and the book of it that the judge reads. Does not know what the session makes of it, but for
its answers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from midsentence.core.events import Command, Emit, Event
from midsentence.shells.live import Session
from scripts.soak.judge import Answered, Conversation, Heard
from scripts.soak.player import VERBS, take

FILLERS = ("please", "well", "and", "then")


class Left(Exception):
    """The user has gone in the middle of a sentence."""


@dataclass(slots=True)
class User:
    """One conversation."""

    draw: random.Random
    turns: int
    patience_s: float
    faults: bool
    over: Callable[[], bool]
    """Whether the time is up: the user begins no further turn."""
    talk: Conversation = field(default_factory=Conversation)
    words: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"turns": 0, "left": 0, "duplicates": 0, "disordered": 0})
    things: int = 0
    answers: list[int] = field(default_factory=list)
    """Times of the answers, on the session's clock."""

    def watch(self, event: Event, commands: tuple[Command, ...]) -> None:
        """For the session: when answers go out."""
        self.answers += [event.at_ns for command in commands if isinstance(command, Emit)]

    async def converse(self, session: Session) -> None:
        """Speaks turn after turn, each when the one before has been answered.

        Raises:
            Left: in mid-sentence.
            SessionEnded: by itself.
            TimeoutError: an answer did not come.
        """
        session.speech_began()
        self.talk.zero_ns = time.monotonic_ns() - session.clock.now_ns()
        leaves = self.draw.randrange(self.turns) if self.faults and self.draw.random() < 0.2 else -1
        for turn in range(self.turns):
            if self.over():
                return
            ended_ns = await self._turn(session, leaves == turn)
            async with asyncio.timeout(self.patience_s):
                while not self.answers or self.answers[-1] < ended_ns:
                    await session.answer(self.patience_s)
            self.counts["turns"] += 1
            self.talk.turns.append(Answered(time.monotonic_ns(), tuple(self.words)))
            await asyncio.sleep(self.draw.uniform(0.0, 0.5))

    async def _turn(self, session: Session, leaves: bool) -> int:
        """Says one turn; gives when it was over, on the session's clock."""
        draw, pairs = self.draw, [self._pair() for _ in range(self.draw.randint(1, 4))]
        for n, pair in enumerate(pairs):
            if leaves and n == len(pairs) - 1:
                await self._say(session, pair.split()[0])
                self.counts["left"] += 1
                raise Left
            for text, retracts in self._spoken(pair):
                await self._say(session, text, retracts)
            if self.faults and draw.random() < 0.1:
                self.counts["duplicates"] += 1
                await self._say(session, pair)
            if (
                self.faults and draw.random() < 0.05
            ):  # what is taken back comes before what takes its place, twice as much as was meant
                self.counts["disordered"] += 1
                await self._say(session, "", min(4, len(self.words)))
                await self._say(session, pair)
            if n < len(pairs) - 1 and draw.random() < 0.1:
                await self._say(session, "", final=True)  # the endpoint is wrong
            if draw.random() < 0.3:
                await session.end_predicted()
        last = draw.choice(FILLERS)
        if draw.random() < 0.5:
            await self._say(session, last)
            await session.end_predicted()
            last = ""
        ended_ns = await self._say(session, last, final=True)
        if self.faults and draw.random() < 0.1:
            self.counts["duplicates"] += 1
            await self._say(session, "", final=True)
        return ended_ns

    def _pair(self) -> str:
        self.things += 1
        return f"{self.draw.choice(VERBS)} k{self.things}"

    def _spoken(self, pair: str) -> Sequence[tuple[str, int]]:
        """A pair as updates: whole, in two, with the recogniser's mistake taken back, or corrected by the user."""
        verb, thing = pair.split()
        match self.draw.randrange(5):
            case 0:
                return [(verb, 0), (thing, 0)]
            case 1:
                return [(f"{verb} x{thing}", 0), (thing, 1)]
            case 2:
                return [(f"{verb} y{thing}", 0), ("no", 0), (thing, 0)]
            case 3:
                return [(f"{self.draw.choice(FILLERS)} {pair}", 0)]
        return [(pair, 0)]

    async def _say(self, session: Session, text: str, retracts: int = 0, *, final: bool = False) -> int:
        await asyncio.sleep(self.draw.uniform(0.1, 0.5))
        at_ns = session.clock.now_ns()
        self.talk.said.append(Heard(time.monotonic_ns(), bool(text or retracts), final))
        take(self.words, text, retracts)
        await session.hear(text, final=final, retracts=retracts)
        return at_ns
