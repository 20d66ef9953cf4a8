"""A live session's stage: fake time, a model that writes a script, a user who speaks on time, and a message to Bob."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import looptime

from midsentence.clock import Profile, WallClock, ns, seconds
from midsentence.core.events import Note
from midsentence.core.modes import settings
from midsentence.models.planned import PlannedModel
from midsentence.shells.live import Session
from midsentence.testing import Scripted
from midsentence.tools.function import Constant, boxed, tool

FAST = Profile("fast", decode_tokens_per_s=1000, prefill_tokens_per_s=10_000, restart_ns=ns(0.001))
SLOW = Profile("slow", decode_tokens_per_s=50, prefill_tokens_per_s=500, restart_ns=ns(0.02))


def call(*lines: str) -> str:
    return "<tool_call>" + "\n".join(lines) + "\n</tool_call>"


def fake(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs in fake time, and sees to it that nothing is left: no task, no report of one that died unheard."""
    reports: list[dict] = []

    async def watched():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        result = await asyncio.wait_for(work(), 10_000)
        await asyncio.sleep(0.01)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        return result

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=20)) as runner:
        result = runner.run(watched())
    gc.collect(0)  # a task that failed unheard reports when it is collected
    assert reports == []
    return result


def real(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs in real time, for what uses threads; the deadline is the test's only."""
    return asyncio.run(asyncio.wait_for(work(), 60))


def planned(renderer, script, tools, mode="speculative", profile=FAST, limits=None, changes=None, **options) -> Session:
    """A session whose model writes a script."""
    loop = asyncio.get_running_loop()
    model = PlannedModel(script if hasattr(script, "plan") else Scripted(script), renderer, profile, loop.call_later)
    box = boxed(tools)
    clock = WallClock(lambda: ns(loop.time()))
    return Session(
        model, box, renderer, settings(mode, **(changes or {})), clock=clock, limits=limits, system="", **options
    )


async def say(session: Session, *rows: tuple[float, str, bool]) -> None:
    """The user speaks: (when, words, final), seconds from now."""
    start = asyncio.get_running_loop().time()
    session.speech_began()
    for at_s, text, final in rows:
        await asyncio.sleep(max(0, start + at_s - asyncio.get_running_loop().time()))
        await session.hear(text, final=final)


def events(session: Session, kind: type) -> list[Any]:
    return [event for event, _ in session.history if isinstance(event, kind)]


def commands(session: Session, kind: type) -> list[tuple[float, Any]]:
    return [
        (seconds(event.at_ns), item) for event, items in session.history for item in items if isinstance(item, kind)
    ]


def notes(session: Session) -> list[str]:
    return [note.what for _, note in commands(session, Note)]


@tool(access="read", latency=Constant(0.3))
async def phone(name: str) -> str:
    """Finds a number."""
    await asyncio.sleep(0.3)
    return f"+1 555 {name}"


@tool(latency=Constant(0.5))
async def send(to: str, text: str) -> str:
    """Sends a text."""
    await asyncio.sleep(0.5)
    return "sent"


TEXT_BOB = [
    call('1. phone("Bob")'),
    "<pause>",
    call('2. send($1, "meeting at ten")'),
    "<answer>I texted Bob.</answer>",
    "<pause>",
    "<pause>",
    "<answer>I texted Bob.</answer>",
]
ANSWER = "<answer>I texted Bob.</answer>"
SPOKEN = ((0.4321, "text Bob that the", False), (1.7, "meeting is at", False), (2.3, "ten", True))
