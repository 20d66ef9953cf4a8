"""One tool that runs in a live session: how it is started, what its end means, and how it is left behind.

Owns threads and tasks of tools, and that whatever a tool returns or raises becomes data. Refuses to know calls, events
and deadlines: that is `midsentence.runtime`'s.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from midsentence.tools.bulk import off_loop
from midsentence.tools.hints import as_json
from midsentence.tools.tool import Json, Toolbox, ToolFailure, described

idempotency_key: contextvars.ContextVar[str] = contextvars.ContextVar("idempotency_key")
"""Inside a tool: the same for every attempt at the same effect. A tool hands it on to services that take one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool ended."""

    value: Any = None
    kind: str = "done"
    message: str = ""


def launch(toolbox: Toolbox, name: str, args: Mapping[str, Json], key: str) -> asyncio.Future[Outcome]:
    """Starts a tool outside any task group: a group waits for its tasks, and a tool may never end.

    Args:
        toolbox: whose tool it is.
        name: of the tool.
        args: the log's own; the tool gets a copy, which it may change.
        key: the call's `idempotency_key`.

    Raises:
        Exception: no thread to be had, or a toolbox that breaks before its tool runs.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    context.run(idempotency_key.set, key)
    is_async = getattr(toolbox, "is_async", None)
    if is_async is not None and is_async(name):
        return loop.create_task(_contained(toolbox, name, args), context=context)
    done: asyncio.Future[Outcome] = loop.create_future()

    def settle(outcome: Outcome) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        outcome = _attempt(lambda: toolbox.run(name, copy.deepcopy(dict(args))))
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    # a daemon: a tool that never returns must not keep the process from ending
    threading.Thread(target=context.run, args=(work,), name=f"tool {name}", daemon=True).start()
    return done


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


def _attempt(run: Callable[[], Any]) -> Outcome:
    """Runs a tool; whatever it raises becomes data. SystemExit and KeyboardInterrupt too: a tool ends no process, and
    Ctrl-C reaches a session as the cancellation of its task."""
    try:
        return Outcome(as_json(run()))
    except BaseException as error:
        return failed(error)


async def _contained(toolbox: Any, name: str, args: Mapping[str, Json]) -> Outcome:
    """`_attempt` for an async tool; only cancellation passes."""
    try:
        value = await toolbox.arun(name, await off_loop(copy.deepcopy, dict(args), over=args))
        return Outcome(await off_loop(as_json, value, over=value))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return failed(error)


def failed(error: BaseException) -> Outcome:
    """What an exception says: a tool's own "no", or a crash."""
    if isinstance(error, ToolFailure):
        return Outcome(kind="failed", message=described(error))
    return Outcome(kind="crashed", message=f"{type(error).__name__}: {described(error)}")


def _abandon(work: asyncio.Task[Outcome]) -> None:
    """Takes the coroutine of a tool that ignores cancellation apart, so that the end of the loop does not wait for it."""
    with suppress(RuntimeError):  # "coroutine ignored GeneratorExit": the frames around it have ended all the same
        work.get_coro().close()
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    work.cancel()  # wakes the task, which finds its coroutine gone
