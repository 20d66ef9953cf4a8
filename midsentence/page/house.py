"""All conversations of one page: which may begin, which continues when a connection returns, and the limits of both.

Owns the bounds, and what a connection says and hears, message by message. Does not know HTTP, and whose page it is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from midsentence.page.talk import BadMessage, Stage, Talk

REFUSED, REPLACED, BUSY = 1008, 4001, 1013
"""Codes of closed connections: what came was refused (the reason says why); another connection has taken over; too much
at once."""
_GOES_ON = "this conversation goes on in another window"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one page may ask of this machine."""

    message_bytes: int = 16_384
    """Longest message."""
    messages_per_s: float = 30.0
    """What a connection may send for long."""
    messages_at_once: int = 90
    """And for a moment."""
    begun_per_s: float = 0.5
    """Connections that may begin, all together, for long."""
    begun_at_once: int = 20
    """And for a moment."""
    talks: int = 4
    """Conversations at a time; the one that was left longest makes room."""
    left_s: float = 120.0
    """How long a conversation waits for its connection to come back."""
    hello_s: float = 10.0
    """How long a connection may be silent before it says what it is."""


class Bucket:
    """How much may come: a steady flow, and some at once.

    Args:
        per_s: the flow.
        at_once: what there is at most.
    """

    def __init__(self, per_s: float, at_once: int) -> None:
        self._per_s, self._most = per_s, float(at_once)
        self._left, self._at_s = self._most, 0.0

    def takes(self, now_s: float) -> bool:
        """Whether one more may come now."""
        self._left = min(self._most, self._left + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Wire(Protocol):
    """A connection that stands: texts in both directions."""

    async def receive(self) -> str | None:
        """The next text; None when the other side is gone."""
        ...

    async def send(self, text: str) -> None:
        """Sends a text; waits while the other side can't keep up."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Ends it."""
        ...


class House:
    """The conversations of one server."""

    def __init__(self, stage: Stage, group: asyncio.TaskGroup, bounds: Bounds) -> None:
        self.stage, self.bounds = stage, bounds
        self.talks: dict[str, Talk] = {}
        self._group = group
        self._begun = Bucket(bounds.begun_per_s, bounds.begun_at_once)

    async def serve(self, wire: Wire) -> None:
        """Everything that one connection does, until it is closed."""
        loop = asyncio.get_running_loop()
        if not self._begun.takes(loop.time()):
            return await wire.close(BUSY, "too many connections; wait a moment")
        try:
            async with asyncio.timeout(self.bounds.hello_s):
                hello = _read(await wire.receive())
            talk, resumed = self._found(hello)
        except (BadMessage, TimeoutError) as error:
            return await wire.close(REFUSED, str(error)[:100] or "no hello")
        if talk is None:
            return await wire.close(BUSY, f"{self.bounds.talks} conversations are open already; close a page")
        talk.holder, talk.left_s = wire, None
        talk.tell()  # the connection that had it sees that it has been replaced
        welcome = {
            "kind": "welcome",
            "talk": talk.id,
            "resumed": resumed,
            "taken": talk.taken,
            "mode": talk.mode,
            "modes": self.stage.modes,
            "baseline": self.stage.baseline,
            "compares": self.stage.beside is not None,
            "about": dict(self.stage.about or {}),
        }
        try:
            async with asyncio.TaskGroup() as both:
                sending = both.create_task(
                    self._send(wire, talk, welcome, hello["after"] if resumed else 0), name="to the page"
                )
                await self._receive(wire, talk)
                sending.cancel()
        finally:
            if talk.holder is wire:
                talk.holder, talk.left_s = None, loop.time()
                loop.call_later(self.bounds.left_s, self._sweep)

    def _found(self, hello: Mapping[str, Any]) -> tuple[Talk | None, bool]:
        """The conversation that a connection asks for, and whether it is one that was there."""
        match hello:
            case {
                "kind": "hello",
                "talk": str(id),
                "after": int(after),
                "mode": str(mode),
                "beside": bool(compares),
            } if after >= 0:
                pass
            case _:
                raise BadMessage("a connection begins with hello, talk, after, mode and beside")
        if (talk := self.talks.get(id)) is not None and after <= len(talk.told):
            return talk, True
        if mode and mode not in self.stage.modes:
            raise BadMessage(f"no mode {mode[:40]!r}; use one of {', '.join(self.stage.modes)}")
        self._sweep(room=1)
        if len(self.talks) >= self.bounds.talks:
            return None, False
        talk = Talk(self.stage, mode or self.stage.first, compares, self._group)
        self.talks[talk.id] = talk
        return talk, False

    def _sweep(self, room: int = 0) -> None:
        """Ends conversations that nobody came back to; and for ``room`` more, those that were left longest."""
        now_s = asyncio.get_running_loop().time()
        left = sorted(
            (talk for talk in self.talks.values() if talk.left_s is not None), key=lambda talk: talk.left_s or 0.0
        )
        for talk in left:
            if (
                now_s - (talk.left_s or 0.0) >= self.bounds.left_s
                or len(self.talks) + room > self.bounds.talks
                or talk.is_over
            ):
                talk.close()
                del self.talks[talk.id]

    async def _receive(self, wire: Wire, talk: Talk) -> None:
        bucket, loop = Bucket(self.bounds.messages_per_s, self.bounds.messages_at_once), asyncio.get_running_loop()
        while talk.holder is wire and (text := await wire.receive()) is not None:
            if talk.holder is not wire:
                return await wire.close(REPLACED, _GOES_ON)  # what it says after that is not heard
            if not bucket.takes(loop.time()):
                return await wire.close(REFUSED, f"more than {self.bounds.messages_per_s:g} messages a second")
            try:
                message = _read(text)
                if message.get("kind") == "close":
                    talk.close()
                    self.talks.pop(talk.id, None)
                    return await wire.close(1000, "closed")
                await talk.take(message)
            except BadMessage as error:
                return await wire.close(REFUSED, str(error)[:100])

    @staticmethod
    async def _send(wire: Wire, talk: Talk, welcome: Mapping[str, Any], seq: int) -> None:
        await wire.send(_written(welcome))
        taken = welcome["taken"]
        while True:
            changed = talk.changed
            for told in talk.since(seq):
                await wire.send(_written(told))
                seq = told["seq"]
            if taken != talk.taken:
                taken = talk.taken
                await wire.send(_written({"kind": "taken", "n": taken}))
            if talk.holder is not wire:
                return await wire.close(REPLACED, _GOES_ON)
            await changed.wait()


def _read(text: str | None) -> Mapping[str, Any]:
    try:
        message = json.loads(text or "null")
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise BadMessage("a message is one JSON object")
    return message


def _written(message: Mapping[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=True, separators=(",", ":"), default=repr)
