"""A state being changed, and the commands that come of it.

Owns what every part of the core does: say a command, move a call by the table, tell the model something, take results
back. Lives for one step. Refuses to know events.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from midsentence.calls import TABLE, Call, CallState, Input
from midsentence.events import CancelTool, Command, Note, Stop
from midsentence.state import Pending, Phase, State
from midsentence.transcript import Segment

_FIELDS = tuple(f.name for f in fields(State))


class Draft:
    """Mutable for the length of one step; has every field of `State`."""

    def __init__(self, state: State, at_ns: int) -> None:
        for name in _FIELDS:
            setattr(self, name, getattr(state, name))
        self.commands: list[Command] = []
        # time never runs backwards inside a session, whatever a shell hands in
        self.now_ns = max(state.now_ns, at_ns)

    def frozen(self) -> State:
        """The state that the draft has become."""
        return State(**{name: getattr(self, name) for name in _FIELDS})

    def say(self, command: Command) -> None:
        self.commands.append(command)

    def move(self, call: Call, input: Input, **changes: Any) -> bool:
        """One transition of the table; False, with nothing changed, where the table has none."""
        row = TABLE.get((call.state, input))
        if row is None:
            self.say(Note(f"no_transition:{call.state}:{input}", call.id))
            return False
        if row.effect == "cancel":
            self.say(CancelTool(call.id, call.version))
        self.say(Note(f"{call.state}:{input}", call.id))
        if row.effect == "drop":
            return True
        if input is Input.REWIND:
            fresh = {"version": call.version + 1, "commit": 0}
            changes = fresh | {"result": None, "in_context": False, "started": 0} | changes
        self.graph = self.graph.put(replace(call, state=row.next, **changes))
        return True

    def tell(self, kind: Any, text: str, *, call: int = 0, cuts: bool = False, wakes: bool = True) -> None:
        """Queues a segment; with ``cuts``, what the model is writing gives way to it."""
        self.inbox += (Pending(Segment(kind, text, self.now_ns), call),)
        self.wake = self.wake or wakes
        if cuts and self.phase is Phase.GENERATING:
            if self.may_cut(kind):
                self.cut()
            else:
                self.cut_pending = self.parser.where == "tool_call"

    def may_cut(self, kind: str) -> bool:
        """Whether information of a kind cuts here and now; a result is no reason to stop an answer half-way."""
        if self.settings.interrupt == "token":
            return True
        if self.parser.where == "answer":
            return kind != "tool_result"
        return not (self.parser.in_line if self.settings.interrupt == "line" else self.parser.where == "tool_call")

    def cut(self) -> None:
        self.say(Note("cut"))
        self.close_tag()
        self.stop_writing()

    def close_tag(self) -> None:
        """The environment closes the tag that a cut leaves open, inside the model's turn."""
        if (tag := self.parser.open_tag) is not None:
            closer = Pending(Segment(f"{tag}_interrupted", "", self.now_ns))
            self.inbox = (closer, *self.inbox)

    def stop_writing(self) -> None:
        self.say(Stop(self.generation, self.span_tokens))
        self.phase, self.cut_pending = Phase.IDLE, False

    def void(self, call: Call) -> bool:
        """Takes back a result: out of the inbox if it still waits there. Gives whether the model has seen it."""
        self.inbox = tuple(pending for pending in self.inbox if pending.call != call.id)
        return call.in_context and call.state is CallState.DONE

    def tell_void(self, ids: list[int]) -> None:
        if ids:
            self.tell("cancel", ", ".join(str(id) for id in sorted(ids)), wakes=False)

    def rewind(self, old: Call, new: Call, *, cascade: bool = True, asked: bool = True) -> list[int]:
        """Puts a call and, with ``cascade``, its dependants back to blocked. Gives the IDs whose results are void.

        Whatever is put back loses its release: what it is computed from has changed. Not all of it comes back: see `is_over`.

        Args:
            old: the call as it stands.
            new: what it becomes.
            cascade: whether its dependants go with it.
            asked: whether a line of the model's asks for it; otherwise the core itself reads again what an effect made stale.
        """
        voided = [old.id] if self.void(old) else []
        below = self.graph.below(old.id) if cascade else ()
        self.move(old, Input.REWIND, spec=new.spec, args=new.args)
        over: set[int] = set()
        for call in (self.graph[id] for id in below):
            if self.is_over(call, asked) or call.state is CallState.SKIPPED and call.needs & over:
                over.add(call.id)
            elif call.state is CallState.BLOCKED:
                self.graph = self.graph.put(replace(call, commit=0))
            else:
                if self.void(call):
                    voided.append(call.id)
                self.move(call, Input.REWIND)
        return voided

    def is_over(self, call: Call, asked: bool) -> bool:
        """Whether a call stays as it ended though what it is computed from changes: only a line of its own starts it anew.

        So does a write that failed; a write that was skipped, once the answer that knew it so is out; and, where the model has
        asked for nothing, all that would need a commit and ended without a result or in an earlier turn.
        """
        ended_badly = call.state in (CallState.FAILED, CallState.SKIPPED)
        if call.spec.access == "write" and ended_badly and (call.state is CallState.FAILED or call.id <= self.settled):
            return True
        return not asked and not self.is_free(call) and (ended_badly or call.state is CallState.DONE and call.id <= self.settled)

    def discard_answer(self) -> None:
        if self.answer is not None:
            self.say(Note("answer_discarded"))
            self.answer, self.wake = None, True
