"""What lets a call run, and what becomes of it: the commit point, the start of tools, and their answers.

Owns the three classes of tool, the order of calls in conflict, and late, lost and failed answers. Refuses to know what
the model writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from midsentence.calls import TERMINAL, Call, CallState, Input
from midsentence.draft import Draft
from midsentence.events import Note, SetTimer, StartTool, ToolError, ToolResult
from midsentence.protocol import NoSuchPart, resolve, write_value
from midsentence.said import only_said, words_said
from midsentence.tools.tool import ToolSpec, mismatch, signature
from midsentence.transcript import shortened

MAX_RESULT_DEPTH = 64
"""Levels of lists and objects that a result may have: what Python itself allows depends on who calls."""
NOT_TWICE = "equal effects are refused within a turn; if it is meant, the user can ask again in the next"


class Gate(Draft):
    """The part of a step that concerns running calls."""

    def still_open(self, ids: Collection[int]) -> str | None:
        """Why calls can't be committed: one of them, or of those that they need, is not whole yet."""
        lacking = [self.graph[id] for id in sorted(ids) if id in self.graph.live and self.graph[id].missing]
        if not lacking:
            return None
        first = lacking[0]
        what = "; ".join(f"call {call.id} misses {', '.join(call.missing)}" for call in lacking)
        return f"{what}: give it with {first.id}. {first.missing[0]} = ..., or REMOVE {first.id}"

    def commit(self, ids: Collection[int] | None = None) -> None:
        """The commit point: every live call as it now stands, or each of ``ids``, may run, at once or after the grace."""
        self.commits = replace(self.commits, given=self.commits.given + 1)
        for id in sorted(self.graph.live if ids is None else self.graph.live & set(ids)):
            if not self.commits.covers(self.graph[id]):
                self.graph = self.graph.put(replace(self.graph[id], commit=self.commits.given))
        self.let_go()

    def let_go(self) -> None:
        """Releases what was committed, at once or after the grace; on a predicted end of speech, not before the real one."""
        if self.predicted or self.commits.given <= max(self.commits.open, self.commits.over):
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
        self.commits = replace(self.commits, open=self.commits.given)

    def end_release(self) -> None:
        """The user speaks: no commit up to now lets anything go any more, and no grace runs on."""
        self.commits, self.grace = replace(self.commits, over=self.commits.given), False

    def is_open(self, call: Call) -> bool:
        """Whether a call whose operands are there may run now."""
        return self.commits.lets_go(call) or self.is_free(call)

    def is_free(self, call: Call) -> bool:
        """Whether a call needs no commit at all: it changes nothing, and nothing leaves the machine by it."""
        if call.spec.access == "egress":
            return self.settings.speculates and call.spec.name in self.settings.allowed_egress and not self.leaks(call)
        return call.spec.access == "read" and self.settings.speculates

    def leaks(self, call: Call) -> bool:
        """Whether an uncommitted egress might carry away what a tool said: anything but the user's own words might."""
        return bool(call.needs) or self.informed and not only_said(call.args, words_said(self.transcript))

    def advance_calls(self) -> None:
        """Moves every live call as far as it can go, in the order of `Graph.sequence`: operands first, so one pass is enough."""
        for id in self.live_in_sequence():
            call = self.graph[id]
            if call.state is CallState.BLOCKED and not call.missing:
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

    def live_in_sequence(self) -> Iterator[int]:
        """The live calls in order. They change under way: a write that starts puts back reads that come after it."""
        if self.graph.forward:
            yield from (id for id in self.graph.sequence() if id in self.graph.live)
            return
        id = 0
        while id := min((other for other in self.graph.live if other > id), default=0):
            yield id

    def start_tool(self, call: Call) -> None:
        try:
            resolved = self.resolved(call)
        except NoSuchPart as missing:
            self.refuse(call, str(missing))
            return
        args = resolved.args
        for param in call.spec.params:
            if param.name in args and (why := mismatch(args[param.name], param.schema)):
                self.refuse(call, f"{param.name} {why}: {signature(call.spec)}")
                return
        text = resolved.text
        if call.spec.access == "write":
            if text in self.graph.effects and not self.may_repeat(call.spec):
                self.refuse(call, f"repeats call {self.graph.effects[text]}: {NOT_TWICE}")
                return
            if (why := self.needs_the_user(call.spec, text)) is not None:
                self.refuse(call, why)
                return
            self.graph = replace(self.graph, effects=self.graph.effects.set(text, call.id))
            self.turn_writes, self.session_writes = self.turn_writes + 1, self.session_writes + 1
        self.starts += 1
        self.move(call, Input.START, started=self.starts)
        self.say(StartTool(call.id, call.version, call.spec.name, args, effect_key(self.session, call.id, text), call.spec.timeout_ns))
        if call.spec.access == "write":
            self.reread(self.graph[call.id])

    def may_repeat(self, spec: ToolSpec) -> bool:
        """Whether equal effects of a tool are allowed within one turn; a confirmation is for one effect."""
        return not spec.confirm and (spec.repeatable or self.settings.duplicate_writes)

    def needs_the_user(self, spec: ToolSpec, text: str) -> str | None:
        """Why a write may not start before the user has spoken again, if so: it wants confirmation, or there were enough."""
        limits = self.settings
        if spec.confirm and self.asked.get(text) != self.turn - 1:
            self.asked = self.asked.set(text, self.turn)
            return f"{spec.name} needs the user's confirmation: ask, and order it anew in the next turn if the user agrees"
        if self.turn_writes >= limits.max_writes_per_turn:
            return f"{self.turn_writes} writes have run in this turn, the most it may have: ask the user, who can go on in the next"
        if self.session_writes >= limits.max_writes_per_session + self.extra_writes:
            self.asked_more = True
            more = limits.max_writes_per_turn
            return f"{self.session_writes} writes have run in this session: ask the user, whose next turn allows {more} more"
        return None

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
        if (why := not_json(event.value)) is not None:
            self.tool_error(ToolError(event.at_ns, event.call, event.version, why, "crashed"))
            return
        late = call.state is CallState.UNKNOWN
        self.move(call, Input.RESULT, result=event.value)
        if late and not self.answered:
            self.revive(call.id)
            self.reread(self.graph[call.id], late=True)
        cuts = not self.settings.waits_for_calls
        shown = shortened(write_value(event.value), self.settings.max_result_chars)
        self.tell("tool_result", f"{label(call)}: {shown}", call=call.id, cuts=cuts)

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
        self.tell("tool_error", f"{label(self.graph[id])}: {shortened(why, self.settings.max_result_chars)}", cuts=cuts)

    def revive(self, id: int) -> None:
        """A write answered after all: reads that were skipped for it can run, unless an answer that knew them as skipped is out.

        Nothing that needs a commit comes back: a late answer starts nothing that the model would not start anew.
        """
        back = {id}
        for child in self.graph.below(id):
            call = self.graph[child]
            there = all(need in back or self.graph[need].state is CallState.DONE for need in call.needs)
            if child > self.settled and call.state is CallState.SKIPPED and there and self.is_free(call):
                back.add(child)
                self.move(call, Input.REWIND)
                self.discard_answer()

    def reread(self, write: Call, *, late: bool = False) -> None:
        """Reads that come after an effect, and ran before it, saw the world as it no longer is: they run again after it.

        This happens when the write starts, so that nothing else is computed from them meanwhile; and again when a write
        that was taken for lost answers ``late``, since reads have not waited for it. A call that is computed from them loses
        its release, for nobody has seen what it would be now: it waits for a new commit.
        """
        voided: list[int] = []
        order = self.graph.sequence()
        for id in order[order.index(write.id) + 1:]:
            call = self.graph[id]
            ran = call.state in (CallState.RUNNING, CallState.DONE) and (late or call.started < write.started)
            if not ran or call.spec.access == "write" or not call.spec.conflicts_with(write.spec) or self.is_over(call, asked=False):
                continue
            if late and call.spec.access == "egress":  # a late answer sends nothing out
                continue
            # what a later effect was computed from can't be taken back any more
            if self.graph.effect_below(id) is None:
                self.say(Note("stale_read", id))
                voided += self.rewind(call, call, asked=False)
                self.discard_answer()
                self.wake = True  # what lost its release waits for a commit, which only the model can give
        self.tell_void(voided)


def not_json(value: Any) -> str | None:
    """Why a tool's answer can't be shown or handed on, or None."""
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)  # logs and equality of calls sort the fields
        write_value(value)
    except (TypeError, ValueError, RecursionError):
        return f"its answer is no JSON value but {type(value).__name__}"
    if is_deep(value):
        return f"its answer is nested deeper than {MAX_RESULT_DEPTH} levels"
    return None


def is_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than what can be walked through from any depth of the caller's own stack."""
    level = [value]
    for _ in range(MAX_RESULT_DEPTH + 1):
        level = [
            item for each in level if isinstance(each, list | tuple | dict)
            for item in (each.values() if isinstance(each, dict) else each) if isinstance(item, list | tuple | dict)
        ]
        if not level:
            return False
    return True


def effect_key(session: str, id: int, text: str) -> str:
    """The idempotency key of one effect: of one session, one call and what it does. The same whenever it is tried again."""
    return f"{session}:{id}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def label(call: Call) -> str:
    """A call as results and errors name it: ``2``, and from its second version on ``2v2``."""
    return str(call.id) if call.version == 1 else f"{call.id}v{call.version}"
