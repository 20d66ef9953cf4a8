"""What lets a call run, and what becomes of it: the commit point, the start of tools, and their answers.

Owns the three classes of tool, the order of calls in conflict, and late, lost and failed answers. Refuses to know what
the model writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agent.calls import TERMINAL, Call, Input
from agent.calls import State as CallState
from agent.draft import Draft
from agent.events import Note, SetTimer, StartTool, ToolError, ToolResult
from agent.protocol import resolve, write_value
from agent.tools.tool import mismatch, signature


class Gate(Draft):
    """The part of a step that concerns running calls."""

    def commit(self) -> None:
        """The commit point: every call as it now stands may run, at once or after the grace."""
        for id in sorted(self.graph.live):
            if not self.graph[id].committed:
                self.graph = self.graph.put(replace(self.graph[id], committed=True))
        self.let_go()

    def let_go(self) -> None:
        """Releases what was committed, at once or after the grace; on a predicted end of speech, not before the real one."""
        if not self.final_heard:
            return
        if not self.settings.commit_grace_ns:
            self.release()
        elif not self.grace:
            self.timer, self.grace = self.timer + 1, True
            self.say(SetTimer(self.now_ns + self.settings.commit_grace_ns, self.timer))

    def timer_ran_out(self, timer: int) -> None:
        if self.grace and timer == self.timer:
            self.grace = False
            self.release()
        else:
            self.say(Note("stale_timer"))

    def release(self) -> None:
        """Lets go what was committed; what was written since then waits for a commit point of its own."""
        for id in sorted(self.graph.live):
            if self.graph[id].committed and not self.graph[id].released:
                self.graph = self.graph.put(replace(self.graph[id], released=True))

    def is_open(self, call: Call) -> bool:
        """Whether a call whose operands are there may run now."""
        if call.released:
            return True
        if call.spec.access == "egress":
            return self.settings.speculates and call.spec.name in self.settings.allowed_egress and not self.leaks(call)
        return call.spec.access == "read" and self.settings.speculates

    def leaks(self, call: Call) -> bool:
        """Whether an uncommitted egress would carry a tool's result away: by reference, or copied into its text."""
        if call.needs:
            return True
        given = list(_texts(dict(call.args)))
        # what was removed or revised since was read all the same
        read = (result for other in self.graph.calls.values() for result in (*other.past_results, other.result))
        return any(len(text) >= 3 and text in arg for result in read for text in _texts(result) for arg in given)

    def advance_calls(self) -> None:
        """Moves every live call as far as it can go. Operands have smaller IDs, so one pass in ID order is enough."""
        id = 0
        # the live ones change under way: a write that starts puts reads with higher IDs back
        while id := min((other for other in self.graph.live if other > id), default=0):
            call = self.graph[id]
            if call.state is CallState.BLOCKED:
                needs = [self.graph[need].state for need in call.needs]
                if any(state in TERMINAL and state is not CallState.DONE for state in needs):
                    self.skip(call)
                elif all(state is CallState.DONE for state in needs):
                    self.move(call, Input.CLEAR if self.is_open(call) else Input.HOLD)
            elif call.state is CallState.HELD and self.is_open(call):
                self.move(call, Input.CLEAR)
            elif call.state is CallState.READY and not self.is_open(call):
                self.move(call, Input.HOLD)
            if self.graph[id].state is CallState.READY and not self.graph.waits_for(self.graph[id]):
                self.start_tool(self.graph[id])

    def start_tool(self, call: Call) -> None:
        resolved = self.resolved(call)
        args = resolved.args
        for param in call.spec.params:
            if param.name in args and (why := mismatch(args[param.name], param.schema)):
                self.refuse(call, f"{param.name} {why}: {signature(call.spec)}")
                return
        if call.spec.access == "write":
            if resolved.text in self.graph.effects and not self.settings.duplicate_writes:
                self.refuse(call, f"repeats call {self.graph.effects[resolved.text]}: equal effects are refused")
                return
            self.graph = replace(self.graph, effects=self.graph.effects.set(resolved.text, call.id))
        self.starts += 1
        self.move(call, Input.START, started=self.starts)
        self.say(StartTool(call.id, call.version, call.spec.name, args, f"{self.session}:{call.id}", call.spec.timeout_ns))
        if call.spec.access == "write":
            self.reread(self.graph[call.id])

    def resolved(self, call: Call) -> Call:
        return replace(call, args=resolve(dict(call.args), {need: self.graph[need].result for need in call.needs}))

    def refuse(self, call: Call, why: str) -> None:
        self.move(call, Input.REFUSE)
        self.failed(call.id, why)

    def skip(self, call: Call) -> None:
        bad = next(need for need in sorted(call.needs) if self.graph[need].state in TERMINAL - {CallState.DONE})
        self.move(call, Input.SKIP)
        self.failed(call.id, f"skipped: call {bad} is {self.graph[bad].state}")

    def current(self, id: int, version: int, *, ran: bool) -> Call | None:
        """The call that a tool's answer is for; a late one is dropped by the table, one for no call is noted."""
        if id not in self.graph:
            self.say(Note("unknown_call", id))
            return None
        call = self.graph[id]
        if call.version == version and (call.state is CallState.RUNNING or call.state is CallState.UNKNOWN and ran):
            return call
        self.move(call, Input.STALE)
        return None

    def tool_result(self, event: ToolResult) -> None:
        call = self.current(event.call, event.version, ran=True)
        if call is None:
            return
        if (why := _not_json(event.value)) is not None:
            self.tool_error(ToolError(event.at_ns, event.call, event.version, why, "crashed"))
            return
        late = call.state is CallState.UNKNOWN
        self.move(call, Input.RESULT, result=event.value)
        if late and not self.answered:
            self.revive(call.id)
            self.reread(self.graph[call.id], late=True)
        cuts = not self.settings.waits_for_calls
        self.tell("tool_result", f"{label(call)}: {write_value(event.value)}", call=call.id, cuts=cuts)

    def tool_error(self, event: ToolError) -> None:
        call = self.current(event.call, event.version, ran=event.kind == "failed")
        if call is None:
            return
        if call.spec.access == "write" and event.kind != "failed":
            self.move(call, Input.LOST)
            self.failed(call.id, f"unknown whether it took effect ({event.kind}: {event.message}); it will not be retried")
            return
        if call.spec.access == "write":
            # it says that it did nothing: the same effect may be asked for again, by another call
            text = self.resolved(call).text
            if self.graph.effects.get(text) == call.id:  # where equal writes are allowed, another one may stand for it
                self.graph = replace(self.graph, effects=self.graph.effects.delete(text))
        self.move(call, Input.FAILURE)
        self.failed(call.id, event.message if event.kind == "failed" else f"{event.kind}: {event.message}")

    def failed(self, id: int, why: str) -> None:
        """Tells the model, and discards the provisional answer: it did not know."""
        self.discard_answer()
        cuts = not self.settings.waits_for_calls or self.parser.where == "answer"
        self.tell("tool_error", f"{label(self.graph[id])}: {why}", cuts=cuts)

    def revive(self, id: int) -> None:
        """A write answered after all: what was skipped for it can run, unless an answer that knew it as skipped is out."""
        for child in self.graph.below(id):
            if child > self.settled and self.graph[child].state is CallState.SKIPPED:
                self.move(self.graph[child], Input.REWIND)
                self.discard_answer()

    def reread(self, write: Call, *, late: bool = False) -> None:
        """Reads with a higher ID that ran before an effect saw the world as it no longer is: they run again after it.

        This happens when the write starts, so that nothing else is computed from them meanwhile; and again when a write
        that was taken for lost answers ``late``, since reads have not waited for it.
        """
        voided: list[int] = []
        for id in range(write.id + 1, self.graph.highest + 1):
            call = self.graph[id]
            ran = call.state in (CallState.RUNNING, CallState.DONE) and (late or call.started < write.started)
            if not ran or call.spec.access == "write" or not call.spec.conflicts_with(write.spec):
                continue
            # what a later effect was computed from can't be taken back any more
            if self.graph.effect_below(id) is None:
                self.say(Note("stale_read", id))
                voided += self.rewind(call, call, committed=True)
                self.discard_answer()
        self.tell_void(voided)


def _not_json(value: Any) -> str | None:
    """Why a tool's answer can't be shown or handed on, or None."""
    try:
        json.dumps(value, sort_keys=True)
        write_value(value)
    except (TypeError, ValueError, RecursionError):
        return f"its answer is no JSON value but {type(value).__name__}"
    return None


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case int() | float() if not isinstance(value, bool):
            yield str(value)
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for item in value.values():
                yield from _texts(item)


def label(call: Call) -> str:
    """A call as results and errors name it: ``2``, and from its second version on ``2v2``."""
    return str(call.id) if call.version == 1 else f"{call.id}v{call.version}"
