"""Starts one tool in a live session, and abandons it if it does not end.

Owns threads and tasks of tools. Does not know what a tool's end means (`midsentence.core.outcome`), nor calls, events
and deadlines (`midsentence.shells.live_tools`).
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import threading
from collections.abc import Mapping
from contextlib import suppress

from midsentence.core.outcome import Boundary, Outcome
from midsentence.tools.bulk import off_loop
from midsentence.tools.tool import AsyncToolbox, Json, Toolbox

idempotency_key: contextvars.ContextVar[str] = contextvars.ContextVar("idempotency_key")
"""Inside a tool: the same for every attempt at the same effect. A tool hands it on to services that take one."""


def launch(toolbox: Toolbox, name: str, args: Mapping[str, Json], key: str) -> asyncio.Future[Outcome]:
    """Starts a tool outside any task group: a group waits for its tasks, and a tool may never end.

    Args:
        toolbox: whose tool it is.
        name: of the tool.
        args: the log's own; the tool gets a copy, which it may change.
        key: the call's `idempotency_key`.

    Raises:
        Exception: no thread could be started, or the toolbox failed before its tool ran.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    context.run(idempotency_key.set, key)
    if isinstance(toolbox, AsyncToolbox) and toolbox.is_async(name):
        return loop.create_task(_awaited(toolbox, name, args), context=context)
    done: asyncio.Future[Outcome] = loop.create_future()

    def settle(outcome: Outcome) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        # Ctrl-C reaches a session as the cancellation of its task, and never this thread
        with Boundary() as ended:
            ended.gives(toolbox.run(name, copy.deepcopy(dict(args))))
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, ended.outcome)

    # a daemon: a tool that never returns must not keep the process from ending
    threading.Thread(target=context.run, args=(work,), name=f"tool {name}", daemon=True).start()
    return done


class Run:
    """A tool that runs, or has run, for all who wait for it."""

    def __init__(self, work: asyncio.Future[Outcome]) -> None:
        """For one who waits.

        Args:
            work: what `launch` gives.
        """
        self.work = work
        self._waiting = 1

    @property
    def stands(self) -> bool:
        """Whether there is any use in joining it: it has given a result, or somebody has it run."""
        if not self.work.done():
            return self._waiting > 0
        return not self.work.cancelled() and self.work.result().kind == "done"

    def join(self) -> Run:
        """One more waits for it."""
        self._waiting += 1
        return self

    async def leave(self, patience_s: float) -> bool:
        """One waits no more; when nobody does, it is ended (`end`). Whether it was left behind."""
        self._waiting -= 1
        return self._waiting == 0 and await end(self.work, patience_s)


async def end(work: asyncio.Future[Outcome], patience_s: float) -> bool:
    """Cancels a tool that still runs, and gives it a moment; whether it was left behind.

    A thread can't be stopped; its result is dropped.
    """
    if work.done():
        return False
    work.cancel()
    if not isinstance(work, asyncio.Task):
        return False
    try:
        await asyncio.wait((work,), timeout=patience_s)
    finally:
        if left := not work.done():
            _abandon(work)
    return left


async def _awaited(toolbox: AsyncToolbox, name: str, args: Mapping[str, Json]) -> Outcome:
    with Boundary(asyncio.CancelledError) as ended:
        value = await toolbox.arun(name, await off_loop(copy.deepcopy, dict(args), over=args))
        await off_loop(ended.gives, value, over=value)
    return ended.outcome


def _abandon(work: asyncio.Task[Outcome]) -> None:
    """Takes the coroutine of a tool that ignores cancellation apart, so that the end of the loop does not wait for
    it."""
    with suppress(RuntimeError):  # "coroutine ignored GeneratorExit": the frames around it have ended all the same
        work.get_coro().close()
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    work.cancel()  # wakes the task, which finds its coroutine gone
