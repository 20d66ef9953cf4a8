"""One conversation of the page: a session, everything reported of it, and what a returning connection has missed.

Owns the numbering of what goes both ways, so that a connection may drop at any moment and nothing is lost or heard
twice. Does not know
sockets: whoever has one reads `Talk.since` and waits for `Talk.changed`.

What the page sends, each with its number ``n``, from 1 on:

    hears      text, closes: all of the utterance so far, as the recogniser or the keyboard has it; ``closes``: its last
    word about it predicted  the user seems to have finished;   ends: they have
    speaking   part (begun, ended, cut), heard: how far the answer is spoken
    beside     on: whether the same requests are to be played in the other mode too
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any

from midsentence.core.events import Command, Event, UserUpdate
from midsentence.integrations.hypotheses import Hypotheses
from midsentence.page.beside import Beside
from midsentence.page.telling import Teller, Told
from midsentence.shells.live import Session, SessionEnded

MOST_CHARS = 4000
"""Longest utterance: five minutes of speech."""
MOST_KEPT = 50_000
"""What is told in one conversation before it has to end, for all of it is kept for a connection that comes back."""

Watch = Callable[[Event, tuple[Command, ...]], None]


class BadMessage(ValueError):
    """The page sent something that it never sends."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What conversations are held with."""

    open: Callable[[str, Watch], AbstractAsyncContextManager[Session]]
    """A session in a mode, given what watches it, and what ends with it."""
    beside: Callable[[Watch], Session] | None
    """A session in the mode that others are compared with, over tools of its own; None where there is nothing to
    compare with."""
    modes: tuple[str, ...]
    """Modes that may be chosen on the page."""
    first: str
    """The mode of a conversation for which none is asked."""
    baseline: str = "parallel"
    """What `beside` runs."""
    about: Mapping[str, Any] | None = None
    """What the page shows of model and tools: ``model``, ``tools``, ``examples``, ``world``, ``alone`` (why nothing is
    compared)."""


class Talk:
    """One conversation."""

    def __init__(self, stage: Stage, mode: str, compares: bool, group: asyncio.TaskGroup) -> None:
        """Begins at once.

        Args:
            stage: what it is held with.
            mode: one of the stage's.
            compares: whether the same requests are played in the other mode too.
            group: owns its tasks.
        """
        self.id, self.mode = secrets.token_urlsafe(16), mode
        self.taken = 0
        """The number of the last message of the page's that was taken."""
        self.told: list[Told] = []
        self.changed = asyncio.Event()
        """Set, and replaced, whenever there is more to send."""
        self.holder: object | None = None
        """Whoever may send to the page and hear it; another connection that takes its place ends the first."""
        self.left_s: float | None = None
        """When the last connection was lost; None while there is one."""
        self._stage, self._group, self._compares = stage, group, compares
        self._teller, self._hypotheses = Teller(), Hypotheses()
        self._opened, self._over = asyncio.Event(), asyncio.Event()
        self._ended = False
        self._session: Session | None = None
        self._beside = None
        if stage.beside is not None and mode != stage.baseline:
            self._beside = Beside(stage.beside, lambda told: self._put(told | {"beside": True}))
        group.create_task(self._run(), name="conversation")

    # -- the connection's side -----------------------------------------------------------------------------------------

    def since(self, seq: int) -> list[Told]:
        """What was told after number ``seq``; each has its number as ``seq``, from 1 on."""
        return self.told[max(0, seq) :]

    async def take(self, message: Mapping[str, Any]) -> None:
        """Takes in a message of the page's; one that it had before changes nothing.

        Raises:
            BadMessage: it is none.
        """
        n = message.get("n")
        if type(n) is not int or n > self.taken + 1 or n < 1:
            raise BadMessage(f"message {n!r} after {self.taken}")
        if n <= self.taken:
            return
        work = self._asked(message)
        self.taken = n
        await self._opened.wait()
        if self._session is not None:
            with suppress(SessionEnded):
                await work(self._session)
        self.tell()

    def close(self) -> None:
        """Ends it; harmless when it is over."""
        self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be told."""
        return self._ended

    def _asked(self, message: Mapping[str, Any]) -> Callable[[Session], Any]:
        """What a message asks for."""
        match message:
            case {"kind": "hears", "text": str(text), "closes": bool(closes)} if len(text) <= MOST_CHARS:
                return lambda session: self._hears(session, _writable(text), closes)
            case {"kind": "predicted"}:
                return lambda session: session.end_predicted()
            case {"kind": "ends"}:
                return self._ends
            case {"kind": "speaking", "part": "begun" | "ended" | "cut" as part, "heard": str(heard)} if (
                len(heard) <= MOST_CHARS
            ):
                return lambda session: session.speaking(part, _writable(heard))
            case {"kind": "beside", "on": bool(on)}:
                return lambda session: self._compare(on)
        raise BadMessage(f"no message that this page sends, or one of more than {MOST_CHARS} characters")

    async def _hears(self, session: Session, text: str, closes: bool) -> None:
        change = self._hypotheses.take(text, closes=closes)
        if change is not None:
            await session.hear(change.text, retracts=change.retracts, final=change.late)

    async def _ends(self, session: Session) -> None:
        if self._hypotheses.unended:
            await session.hear("", final=True)
        self._hypotheses.end()

    async def _compare(self, on: bool) -> None:
        self._compares = on
        if self._beside is not None and not on:
            self._beside.stop()

    # -- the session's side --------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """The session's whole life, in one task. Nothing that breaks it reaches other conversations."""
        try:
            async with self._stage.open(self.mode, self._watch) as session:
                self._session = session
                self._put({"kind": "ready", "at": 0.0, "turn": 1})
                self._opened.set()
                await self._over.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._put(
                {"kind": "over", "outcome": f"broke: {type(error).__name__}: {error}"[:300], "at": 0.0, "turn": 0}
            )
        finally:
            self._ended = True
            if self._beside is not None:
                self._beside.stop()
            self._opened.set()
            self.tell()

    def _watch(self, event: Event, commands: tuple[Command, ...]) -> None:
        assert self._session is not None
        state = self._session.state
        for told in self._teller.tell(event, commands, state):
            self._put(told)
            if told["kind"] == "over":
                self._over.set()
            if self._beside is not None and self._compares and told["kind"] == "answered":
                self._beside.answered(state.turn, self._group)
        if self._beside is not None and isinstance(event, UserUpdate):
            self._beside.hears(event, state.turn)
        if len(self.told) > MOST_KEPT:
            self._over.set()

    def _put(self, told: Told) -> None:
        self.told.append(told | {"seq": len(self.told) + 1})
        self.tell()

    def tell(self) -> None:
        """Wakes whoever waits for `changed`."""
        self.changed.set()
        self.changed = asyncio.Event()


def _writable(text: str) -> str:
    """A text without halves of characters, which no file and no socket takes."""
    return text.encode("utf-8", "replace").decode()
