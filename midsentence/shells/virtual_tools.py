"""Tools on virtual time: each takes as long as its latency model says, and does what it does at the end of that.

Owns when a call's result or time-out comes, and, where attempts are thrown away, which reads are not run again. Does
not know what an outcome means (`midsentence.core.outcome`).
"""

from __future__ import annotations

from dataclasses import dataclass

from midsentence.clock import NS_PER_S
from midsentence.core.events import Event, StartTool, ToolError, ToolResult
from midsentence.core.outcome import Boundary, Outcome
from midsentence.shells.agenda import Agenda
from midsentence.shells.drafts import read_key
from midsentence.tools.tool import Toolbox


@dataclass(slots=True)
class _Read:
    """A read that was run in an attempt, and is not run again."""

    name: str
    ready_ns: int
    outcome: Outcome | None = None
    """None while it runs."""

    @property
    def stands(self) -> bool:
        """Whether there is any use in it: a failure is not kept, the read may be tried again."""
        return self.outcome is None or self.outcome.kind == "done"


class VirtualTools:
    """The tools of one episode."""

    def __init__(self, toolbox: Toolbox, agenda: Agenda, keeps_reads: bool) -> None:
        """None runs.

        Args:
            toolbox: the episode's.
            agenda: where what comes of a call is put.
            keeps_reads: whether a read that an earlier attempt ran is not run again.
        """
        self._toolbox, self._agenda, self._keeps_reads = toolbox, agenda, keeps_reads
        self._reads: dict[str, _Read] = {}
        self._cancelled: set[tuple[int, int]] = set()
        self.kept: set[tuple[int, int]] = set()
        """Starts, as (call, version), for which no tool was run."""

    def start(self, start: StartTool, now_ns: int) -> None:
        """A call begins: when its result or its time-out comes is settled now, what the result is then."""
        latency_ns = self._toolbox.latency_ns(start.name, start.args)
        if self._keeps_reads:
            self._drop_reads(start)
            if (read := self._reads.get(read_key(start))) is not None and read.stands:
                self.kept.add((start.call, start.version))
                at_ns = max(now_ns, read.ready_ns)
                self._agenda.decide(at_ns, ToolResult, lambda at_ns: self._finish_read(start, read, at_ns))
                return
            if self._toolbox.specs[start.name].access != "write" and latency_ns <= start.timeout_ns:
                new = self._reads[read_key(start)] = _Read(start.name, now_ns + latency_ns)
                self._agenda.decide(new.ready_ns, ToolResult, lambda at_ns: self._finish_read(start, new, at_ns))
                return
        if latency_ns > start.timeout_ns:
            why = f"no answer within {start.timeout_ns / NS_PER_S:g} s"
            self._agenda.add(ToolError(now_ns + start.timeout_ns, start.call, start.version, why, "timeout"))
        # what a tool does, it does at the end of its latency: a read that was cancelled by then does nothing
        self._agenda.decide(now_ns + latency_ns, ToolResult, lambda at_ns: self._finish(start, at_ns))

    def cancel(self, call: int, version: int) -> None:
        """A call is to do nothing any more, and to say nothing."""
        self._cancelled.add((call, version))

    def forget(self) -> None:
        """The turn is over: what was read for it is old."""
        self._reads.clear()

    def _finish(self, start: StartTool, at_ns: int) -> Event | None:
        if (start.call, start.version) in self._cancelled:
            return None
        if self._keeps_reads:
            self._drop_reads(start)
        return self._ran(start).event(start, at_ns)

    def _finish_read(self, start: StartTool, read: _Read, at_ns: int) -> Event | None:
        """A read that is kept ends, for whoever asked for it, also after all of them have cancelled it."""
        if read.outcome is None:
            read.outcome = self._ran(start)
        return None if (start.call, start.version) in self._cancelled else read.outcome.event(start, at_ns)

    def _drop_reads(self, start: StartTool) -> None:
        """A call begins or ends. If it is an effect, what it may change, as far as tools say, is not kept."""
        specs = self._toolbox.specs
        if (spec := specs[start.name]).access == "write":
            self._reads = {key: read for key, read in self._reads.items() if not spec.conflicts_with(specs[read.name])}

    def _ran(self, start: StartTool) -> Outcome:
        with Boundary(KeyboardInterrupt) as ended:
            ended.gives(self._toolbox.run(start.name, start.args))
        return ended.outcome
