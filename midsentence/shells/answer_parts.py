"""Streams an answer while it is written, so that a voice can begin before the model has finished.

Owns which part of an answer may go out early, and withdraws what has gone out if it is discarded. Does not know how a
session
runs: it looks at the core's state after every event.

An answer goes out as it is written only where nothing that it speaks of is still to happen: the user has finished, no
call is live (writes that the answer commits are), and no failure waits that the model has not seen. Otherwise it goes
out whole, when the core emits it. The parts of an answer, joined, are the answer, character for character.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from midsentence.core.events import Command, Emit
from midsentence.core.protocol import TAGS
from midsentence.core.state import Phase, State, knows_the_end


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """The next piece of an answer."""

    text: str
    """What is new of it; empty if nothing is."""
    last: bool = False
    """Whether the answer is complete with it."""
    withdrawn: bool = False
    """Whether the parts since the last complete answer are none after all: the user spoke into it, or the model's
    writing was refused. A voice stops here; what it has said, it has said."""


class AnswerParts:
    """Follows one session, event by event."""

    def __init__(self) -> None:
        self._told = ""

    def follow(self, state: State, commands: Iterable[Command]) -> list[AnswerPart]:
        """What can be said after an event.

        Args:
            state: the core's, after the event.
            commands: what came of the event.
        """
        parts: list[AnswerPart] = []
        for text in (command.text for command in commands if isinstance(command, Emit)):
            if not text.startswith(self._told):
                parts.append(self._withdraw())
            parts.append(AnswerPart(text[len(self._told) :], last=True))
            self._told = ""
        if state.phase is Phase.GENERATING and state.parser.where == "answer":
            if may_be_said(state) and (more := sayable(state.parser.buffer)[len(self._told) :]):
                self._told += more
                parts.append(AnswerPart(more))
        elif self._told and state.answer is None:
            parts.append(self._withdraw())
        return parts

    def _withdraw(self) -> AnswerPart:
        self._told = ""
        return AnswerPart("", withdrawn=True)


class Answers:
    """The answers of one session, whole and in parts, for whoever waits for them."""

    def __init__(self) -> None:
        self._whole: asyncio.Queue[str | None] = asyncio.Queue()
        self._parts: asyncio.Queue[AnswerPart | None] = asyncio.Queue()
        self._following = AnswerParts()

    def put(self, text: str) -> None:
        """The core has emitted an answer."""
        self._whole.put_nowait(text)

    def follow(self, state: State, commands: Iterable[Command]) -> None:
        """See `AnswerParts.follow`."""
        for part in self._following.follow(state, commands):
            self._parts.put_nowait(part)

    def end(self) -> None:
        """There will be none any more."""
        self._whole.put_nowait(None)
        self._parts.put_nowait(None)

    async def next(self, timeout_s: float) -> str | None:
        """The next answer; None where there will be none.

        Raises:
            TimeoutError: none within ``timeout_s``.
        """
        async with asyncio.timeout(timeout_s):
            text = await self._whole.get()
        if text is None:
            self._whole.put_nowait(None)  # for whoever asks next
        return text

    async def next_part(self) -> AnswerPart | None:
        """The next piece of an answer; None where there will be none."""
        part = await self._parts.get()
        if part is None:
            self._parts.put_nowait(None)  # for whoever asks next
        return part


def may_be_said(state: State) -> bool:
    """Whether the answer that is being written would go out as soon as it is complete."""
    failed = any(pending.segment.kind == "tool_error" for pending in state.inbox)
    return knows_the_end(state) and not (state.predicted or state.graph.live or failed or state.cut_pending)


def sayable(written: str) -> str:
    """What is certain of an answer's text: without the blanks around it, and without what may be the beginning of a
    tag."""
    opens = written.rfind("<")
    if opens >= 0 and any(tag.startswith(written[opens:]) for tag in TAGS):
        written = written[:opens]
    return written.strip()
