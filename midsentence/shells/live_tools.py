"""The tools of a live session: a task a call.

Owns which calls run, their deadlines and cancellation, and that a result, an error or a time-out comes of each,
whatever the tool does. Does not know how a tool is started (`midsentence.shells.tool_run`), and what its end means
(`midsentence.core.outcome`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from midsentence.clock import NS_PER_S
from midsentence.core.events import StartTool, ToolError
from midsentence.core.outcome import Outcome, failed
from midsentence.shells.inbox import Inbox
from midsentence.shells.kept_reads import Reads
from midsentence.shells.tool_run import Run, launch
from midsentence.tools.tool import Toolbox, ToolSpec


class LiveTools:
    """The calls of one session that run."""

    def __init__(
        self, toolbox: Toolbox, specs: Mapping[str, ToolSpec], inbox: Inbox, group: asyncio.TaskGroup, keeps_reads: bool
    ) -> None:
        """None runs.

        Args:
            toolbox: the session's.
            specs: its tools, as the core knows them.
            inbox: where what comes of a call is put.
            group: the session's tasks.
            keeps_reads: whether a read that an earlier attempt ran is not run again.
        """
        self._toolbox, self._specs, self._inbox, self._group, self._keeps_reads = (
            toolbox,
            specs,
            inbox,
            group,
            keeps_reads,
        )
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._reads = Reads(toolbox)
        self.abandoned = 0
        """Tools that ignored their cancellation and were left behind."""

    @property
    def joined(self) -> set[tuple[int, int]]:
        """Starts, as (call, version), for which no tool was run."""
        return self._reads.joined

    @property
    def writes(self) -> list[asyncio.Task[None]]:
        """Calls that run and were not cancelled: at a session's end those are writes."""
        return [task for task in self._running.values() if not task.cancelling()]

    def start(self, start: StartTool) -> None:
        """Runs a call."""
        call, version = start.call, start.version
        task = self._group.create_task(self._run(start), name=f"tool {start.name} {call}v{version}")
        self._running[call, version] = task
        task.add_done_callback(lambda _: self._running.pop((call, version), None))

    def cancel(self, call: int, version: int) -> None:
        """A call is not wanted any more."""
        if (running := self._running.get((call, version))) is not None:
            running.cancel()

    def forget(self) -> None:
        """The turn is over: what was read for it is old."""
        self._reads.forget()

    def leave_reads(self) -> None:
        """Ends the reads that nobody keeps any more."""
        while self._reads.over:
            self._inbox.start(self._leave(self._reads.over.pop()))

    def cancel_all(self) -> None:
        """The session is over."""
        for task in self._running.values():
            task.cancel()

    async def end(self) -> None:
        """Waits until all that ran is over, or was left behind."""
        self._reads.forget()
        if ending := [*self._running.values(), *(asyncio.ensure_future(self._leave(run)) for run in self._reads.over)]:
            # each gives its tool `cancel_s` to clean up
            await asyncio.wait(ending, timeout=2 * self._inbox.limits.cancel_s)

    async def _run(self, start: StartTool) -> None:
        """Runs one call: a result, an error or a time-out comes of it, whatever the tool does."""
        try:
            run = self._launch(start)
        except Exception as error:
            return await self._inbox.put(failed(error).event(start, self._inbox.clock.now_ns()))
        work = run.work
        try:
            await asyncio.wait((work,), timeout=start.timeout_ns / NS_PER_S)
            if not work.done():
                self._reads.gave_up(run)
                why = f"no answer within {start.timeout_ns / NS_PER_S:g} s"
                await self._inbox.put(ToolError(self._inbox.clock.now_ns(), start.call, start.version, why, "timeout"))
                if self._specs[start.name].access != "write":
                    return
                # a write cut off half-way is worse than a late one, and the core takes a late answer
                await asyncio.wait((work,), timeout=self._inbox.limits.idle_s)
            if work.done():
                outcome = Outcome(kind="crashed", message="cancelled itself") if work.cancelled() else work.result()
                await self._inbox.put(outcome.event(start, self._inbox.clock.now_ns()))
        finally:
            await self._leave(run)

    async def _leave(self, run: Run) -> None:
        self.abandoned += await run.leave(self._inbox.limits.cancel_s)

    def _launch(self, start: StartTool) -> Run:
        if self._keeps_reads:
            return self._reads.asked(start)
        return Run(launch(self._toolbox, start.name, start.args, start.key))
