"""The heart: a pure reducer. ``step(state, event) -> (state, commands)``.

Owns when the model writes, what cuts it, when a call starts, is held, released, revised or cancelled, and when the
answer goes out. It never reads a clock, awaits or draws a random number, and no event in any state makes it raise:
what does not fit is dropped and noted. Refuses to know tokens' ids beyond keeping them, tools beyond their specs, and
who the model is. Live sessions, data generation and evaluation all run on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from agent.calls import TABLE, TERMINAL, Call, Graph, Input, State as CallState
from agent.events import (
    Append, Appended, CancelTool, Close, Command, Emit, Event, Finish, Generate, ModelEnded, ModelOutput, Note, SetTimer,
    StartTool, Stop, Timer, ToolError, ToolResult, UserUpdate,
)
from agent.modes import Settings
from agent.protocol import (
    ActionEnded, AnswerOpened, CallLine, Item, Malformed, Parser, RemoveLine, feed, refs, resolve, write_value,
)
from agent.tools.tool import ToolSpec, bind, mismatch, signature
from agent.transcript import Segment, Transcript


class Phase(StrEnum):
    """What the model is doing."""

    IDLE = "idle"
    APPENDING = "appending"
    GENERATING = "generating"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Pending:
    """A segment that waits to be appended, and the call version whose result it carries, if any."""

    segment: Segment
    call: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All that a session is. Made by `start`, changed only by `step`."""

    settings: Settings
    tools: Mapping[str, ToolSpec]
    session: str = "session"
    """Prefix of idempotency keys."""
    now_ns: int = 0
    phase: Phase = Phase.IDLE
    outcome: str = ""
    """Why the session is finished; empty while it is not."""
    transcript: Transcript = field(default_factory=Transcript)
    inbox: tuple[Pending, ...] = ()
    """What waits to be appended."""
    graph: Graph = field(default_factory=Graph)
    parser: Parser = field(default_factory=Parser)
    generation: int = 0
    span_tokens: int = 0
    """Tokens accepted from the generation under way."""
    span_lines: int = 0
    """Call lines accepted from it."""
    saw_final: bool = False
    """Whether the generation under way began with the final update in its context."""
    cut_pending: bool = False
    """Whether new information waits for a line or an action to finish."""
    wake: bool = False
    """Whether there is a reason to generate."""
    final_heard: bool = False
    final_in_context: bool = False
    answer: str | None = None
    """A provisional answer, until every live call is terminal."""
    answered: bool = False
    """Whether this turn's answer has gone out."""
    turn: int = 1
    errors_in_row: int = 0
    context_tokens: int = 0
    turn_tokens: int = 0
    """Tokens that the model has written in this turn."""
    starts: int = 0
    """Tools started so far."""
    timer: int = 0
    """Number of the commit grace that runs; a timer with another number is an old one."""
    grace: bool = False
    """Whether a commit grace runs."""


def start(settings: Settings, tools: Mapping[str, ToolSpec], session: str = "session", prompt_tokens: int = 0) -> State:
    """The state of a fresh session, its prompt already taken in."""
    return State(settings, tools, session, context_tokens=prompt_tokens)


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Takes in one event. Pure and total; a finished session ignores everything."""
    if state.phase is Phase.FINISHED:
        return state, (Note("after_finish"),)
    draft = _Draft(state, event.at_ns)
    match event:
        case UserUpdate():
            draft.hear(event)
        case ModelOutput():
            draft.read(event)
        case ModelEnded():
            draft.model_ended(event)
        case Appended():
            draft.appended(event.tokens)
        case ToolResult():
            draft.tool_result(event)
        case ToolError():
            draft.tool_error(event)
        case Timer():
            draft.timer_ran_out(event.timer)
        case Close():
            draft.finish(event.why)
    return draft.freeze()


_FIELDS = tuple(f.name for f in fields(State))


class _Draft:
    """A state being changed, and the commands that come of it. Lives for one step."""

    def __init__(self, state: State, at_ns: int) -> None:
        for name in _FIELDS:
            setattr(self, name, getattr(state, name))
        self.commands: list[Command] = []
        # time never runs backwards inside a session, whatever a shell hands in
        self.now_ns = max(state.now_ns, at_ns)

    def freeze(self) -> tuple[State, tuple[Command, ...]]:
        if self.phase is not Phase.FINISHED:
            self.advance_calls()
            self.proceed()
        return State(**{name: getattr(self, name) for name in _FIELDS}), tuple(self.commands)

    def say(self, command: Command) -> None:
        self.commands.append(command)

    # -- the user ----------------------------------------------------------------------------------------------

    def hear(self, event: UserUpdate) -> None:
        if self.answered:
            self.answered, self.turn, self.turn_tokens = False, self.turn + 1, 0
            self.final_heard = self.final_in_context = False
        elif self.final_heard:
            self.reopen()
        self.final_heard = event.final
        text = f"[-{event.retracts}] {event.text}" if event.retracts else event.text
        self.tell("final_query_update" if event.final else "partial_query_update", text, cuts=True)

    def reopen(self) -> None:
        """The end of speech was none: writes that have not started are held again."""
        self.say(Note("reopened"))
        self.final_in_context = self.saw_final = False
        self.answer, self.grace = None, False
        for id in sorted(self.graph.live):
            call = self.graph[id]
            if call.committed and call.state is not CallState.RUNNING:
                self.graph = self.graph.put(replace(call, committed=False, released=False))

    # -- the model ---------------------------------------------------------------------------------------------

    def read(self, event: ModelOutput) -> None:
        if self.phase is not Phase.GENERATING or event.generation != self.generation:
            self.say(Note("stale_output"))
            return
        self.transcript = self.transcript.append(Segment("model", event.text, self.now_ns, event.ids))
        self.span_tokens += len(event.ids)
        self.context_tokens += len(event.ids)
        self.turn_tokens += len(event.ids)
        self.parser, items = feed(self.parser, event.text)
        for item in items:
            if self.phase is not Phase.GENERATING or event.generation != self.generation:
                break
            self.act(item)
        if self.phase is Phase.GENERATING and self.context_tokens > self.settings.max_context_tokens:
            self.finish("context_overflow")
        elif self.phase is Phase.GENERATING and self.turn_tokens >= self.settings.max_generated_tokens:
            self.finish("out_of_budget")
        elif self.phase is Phase.GENERATING and self.cut_pending and self.may_cut(""):
            self.cut()

    def act(self, item: Item) -> None:
        match item:
            case CallLine():
                error = self.issue(item)
            case RemoveLine():
                error = self.remove(item.id)
            case AnswerOpened():
                error = None if self.saw_final else "no answer before the final update: <pause> or call a tool"
            case Malformed():
                error = item.why
            case ActionEnded():
                error = self.end_action(item)
        if error is not None:
            self.fail_action(error)

    def end_action(self, action: ActionEnded) -> str | None:
        quiet = not self.graph.live and not any(pending.segment.kind != "cancel" for pending in self.inbox)
        if action.kind == "pause" and self.saw_final and quiet:
            return "nothing is running and the user has finished: call a tool or answer"
        self.stop_writing()
        self.errors_in_row = 0
        if self.saw_final if self.settings.commit == "action" else self.final_heard and action.kind != "tool_call":
            self.commit()
        if action.kind == "answer":
            self.answer, self.wake = action.text, False
        elif action.kind == "tool_call" and self.saw_final:
            # a mode that waits is woken by the last result; if nothing runs, nothing else would wake it
            self.wake = True
        return None

    def fail_action(self, why: str) -> None:
        self.errors_in_row += 1
        self.say(Note("invalid_action"))
        self.close_tag()
        self.stop_writing()
        if self.errors_in_row > self.settings.max_errors_in_row:
            self.finish("invalid_actions")
            return
        self.tell("error", why)

    def model_ended(self, event: ModelEnded) -> None:
        if self.phase is not Phase.GENERATING or event.generation != self.generation:
            self.say(Note("stale_output"))
            return
        self.fail_action(f"{event.why} before the action was complete: end with </tool_call>, <pause> or </answer>")

    def stop_writing(self) -> None:
        self.say(Stop(self.generation, self.span_tokens))
        self.phase, self.cut_pending = Phase.IDLE, False

    def close_tag(self) -> None:
        """The environment closes the tag that a cut leaves open, inside the model's turn."""
        if (tag := self.parser.open_tag) is not None:
            closer = Pending(Segment(f"{tag}_interrupted", "", self.now_ns))
            self.inbox = (closer, *self.inbox)

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

    # -- what is told to the model -----------------------------------------------------------------------------

    def tell(self, kind: Any, text: str, *, call: int = 0, cuts: bool = False, wakes: bool = True) -> None:
        """Queues a segment; with ``cuts``, what the model is writing gives way to it."""
        self.inbox += (Pending(Segment(kind, text, self.now_ns), call),)
        self.wake = self.wake or wakes
        if cuts and self.phase is Phase.GENERATING:
            if self.may_cut(kind):
                self.cut()
            else:
                self.cut_pending = self.parser.where == "tool_call"

    def appended(self, tokens: int) -> None:
        if self.phase is not Phase.APPENDING:
            self.say(Note("stale_append"))
            return
        self.context_tokens += max(0, tokens)
        self.phase = Phase.IDLE
        if self.context_tokens > self.settings.max_context_tokens:
            self.finish("context_overflow")

    def proceed(self) -> None:
        """With the model at rest: append what waits, or say the answer, or write on."""
        if self.answer is not None and not self.graph.live:
            self.say(Emit(self.answer))
            self.answer, self.answered = None, True
        if self.phase is not Phase.IDLE:
            return
        if self.inbox:
            for pending in self.inbox:
                self.transcript = self.transcript.append(pending.segment)
                if pending.call:
                    self.graph = self.graph.put(replace(self.graph[pending.call], in_context=True))
                if pending.segment.kind == "final_query_update":
                    self.final_in_context = self.final_heard
            self.say(Append(tuple(pending.segment for pending in self.inbox)))
            self.inbox, self.phase = (), Phase.APPENDING
        elif self.wake and self.answer is None and not self.answered and (self.settings.listens or self.final_in_context):
            # a call that is ready but not running waits for one that runs, or for a commit that only the model can give
            if self.settings.waits_for_calls and (self.grace or any(self.graph.in_state(CallState.RUNNING))):
                return
            self.generation += 1
            self.parser, self.span_tokens, self.span_lines = Parser(), 0, 0
            self.wake, self.saw_final = False, self.final_in_context
            self.phase = Phase.GENERATING
            self.say(Generate(self.generation))

    def finish(self, outcome: str) -> None:
        if self.phase is Phase.GENERATING:
            self.say(Stop(self.generation, self.span_tokens))
        for call in tuple(self.graph.in_state(*set(CallState) - TERMINAL)):
            if not call.frozen:
                self.move(call, Input.REMOVE)
        self.phase, self.outcome, self.inbox, self.answer = Phase.FINISHED, outcome, (), None
        self.say(Finish(outcome))

    # -- calls -------------------------------------------------------------------------------------------------

    def issue(self, line: CallLine) -> str | None:
        """A call line: a new call, a revision, a retry or a no-op. Gives what is wrong with it, if anything."""
        self.span_lines += 1
        if (limit := self.settings.calls_per_action) is not None and self.span_lines > limit:
            return f"at most {limit} call{'s' if limit > 1 else ''} in one action"
        spec = self.tools.get(line.name)
        if spec is None:
            return f"unknown tool {line.name!r}; there are: {', '.join(self.tools)}"
        try:
            args = bind(spec, line.positional, line.keyword)
        except ValueError as error:
            return str(error)
        call = Call(line.id, spec, args)
        for param in spec.params:
            if param.name in args and not any(refs(args[param.name])) and (why := mismatch(args[param.name], param.schema)):
                return f"{line.name}: {param.name} {why}: {signature(spec)}"
        for need in sorted(call.needs):
            if need >= line.id or need not in self.graph or self.graph[need].state is CallState.CANCELLED:
                known = range(max(1, line.id - 8), min(line.id, self.graph.highest + 1))
                legal = ", ".join(f"${id}" for id in known if self.graph[id].state is not CallState.CANCELLED)
                return f"call {line.id} names ${need}; it can name {legal or 'no call yet'}"
        if line.id in self.graph:
            return self.reissue(self.graph[line.id], call)
        if line.id != self.graph.highest + 1:
            return f"call ID {line.id} is out of order: the next new ID is {self.graph.highest + 1}"
        if (twin := self.repeated_write(call)) is not None:
            return f"call {line.id} repeats call {twin}: equal effects are refused"
        self.graph = self.graph.put(call)
        if self.settings.commit == "paper" and self.final_heard:
            self.commit()
        return None

    def repeated_write(self, call: Call) -> int | None:
        if call.spec.access != "write" or self.settings.duplicate_writes:
            return None
        if call.text in self.graph.effects:
            return self.graph.effects[call.text]
        live = (self.graph[id] for id in sorted(self.graph.live) if id != call.id)
        return next((other.id for other in live if other.spec is call.spec and other.text == call.text), None)

    def reissue(self, old: Call, new: Call) -> str | None:
        if old.state is CallState.CANCELLED:
            return f"call {old.id} was removed; the next new ID is {self.graph.highest + 1}"
        if old.text == new.text:
            if old.state is CallState.FAILED and old.spec.access != "write":
                self.say(Note("retry", old.id))
                self.rewind(old, new)
            else:
                self.say(Note("identical_reissue", old.id))
            return None
        if (effect := self.graph.effect_below(old.id)) is not None:
            return f"call {effect} already took effect: call {old.id} can't be revised"
        if (twin := self.repeated_write(new)) is not None:
            return f"call {new.id} repeats call {twin}: equal effects are refused"
        self.say(Note("revise", old.id))
        below = self.graph.below(old.id)
        voided = self.rewind(old, new, cascade=self.settings.revise_cascade == "rerun")
        if self.settings.revise_cascade == "cancel":
            voided += self.cancel_all(below)
        self.tell_void(voided)
        return None

    def rewind(self, old: Call, new: Call, *, cascade: bool = True, committed: bool = False) -> list[int]:
        """Puts a call and, with ``cascade``, its dependants back to blocked. Gives the IDs whose results are void.

        With ``committed``, what the commit point released stays released: the model asked for nothing new.
        """
        voided = [old.id] if self.void(old) else []
        below = self.graph.below(old.id) if cascade else ()
        kept = ("committed", "released") if committed else ()
        self.move(old, Input.REWIND, spec=new.spec, args=new.args, **{name: getattr(old, name) for name in kept})
        for call in (self.graph[id] for id in below):
            if call.state is not CallState.BLOCKED:
                if self.void(call):
                    voided.append(call.id)
                self.move(call, Input.REWIND, **{name: getattr(call, name) for name in kept})
        return voided

    def remove(self, id: int) -> str | None:
        if id not in self.graph:
            return f"there is no call {id} to remove"
        call = self.graph[id]
        if call.state is CallState.CANCELLED:
            self.say(Note("identical_reissue", id))
            return None
        if (effect := self.graph.effect_below(id)) is not None:
            return f"call {effect} already took effect: call {id} can't be removed"
        self.say(Note("remove", id))
        below = self.graph.below(id)
        voided = [id] if self.void(call) else []
        self.move(call, Input.REMOVE)
        self.tell_void(voided + self.cancel_all(below))
        return None

    def cancel_all(self, ids: tuple[int, ...]) -> list[int]:
        """Cancels calls; gives all of them, so that the model learns which IDs are dead."""
        for id in ids:
            self.void(self.graph[id])
            self.move(self.graph[id], Input.REMOVE)
        return list(ids)

    def void(self, call: Call) -> bool:
        """Takes back a result: out of the inbox if it still waits there. Gives whether the model has seen it."""
        self.inbox = tuple(pending for pending in self.inbox if pending.call != call.id)
        return call.in_context and call.state is CallState.DONE

    def tell_void(self, ids: list[int]) -> None:
        if ids:
            self.tell("cancel", ", ".join(str(id) for id in sorted(ids)), wakes=False)

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
            fresh = {"version": call.version + 1, "committed": False, "released": False, "result": None, "in_context": False, "started": 0}
            changes = fresh | changes
        self.graph = self.graph.put(replace(call, state=row.next, **changes))
        return True

    # -- what lets calls run -----------------------------------------------------------------------------------

    def commit(self) -> None:
        """The commit point: every call as it now stands may run, at once or after the grace."""
        for id in sorted(self.graph.live):
            if not self.graph[id].committed:
                self.graph = self.graph.put(replace(self.graph[id], committed=True))
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
        done = (other.result for other in self.graph.calls.values() if other.state is CallState.DONE)
        return any(len(text) >= 3 and text in arg for result in done for text in _texts(result) for arg in given)

    def advance_calls(self) -> None:
        """Moves every live call as far as it can go. Operands have smaller IDs, so one pass in ID order is enough."""
        for id in sorted(self.graph.live):
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

    def resolved(self, call: Call) -> Call:
        return replace(call, args=resolve(dict(call.args), {need: self.graph[need].result for need in call.needs}))

    def refuse(self, call: Call, why: str) -> None:
        self.move(call, Input.REFUSE)
        self.failed(call.id, why)

    def skip(self, call: Call) -> None:
        bad = next(need for need in sorted(call.needs) if self.graph[need].state in TERMINAL - {CallState.DONE})
        self.move(call, Input.SKIP)
        self.failed(call.id, f"skipped: call {bad} is {self.graph[bad].state}")

    # -- what tools answer -------------------------------------------------------------------------------------

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
        late = call.state is CallState.UNKNOWN
        self.move(call, Input.RESULT, result=event.value)
        if late and not self.answered:  # an answer that counted it as failed has gone out: nothing may start behind it
            self.revive(call.id)
        self.tell("tool_result", f"{label(call)}: {write_value(event.value)}", call=call.id, cuts=not self.settings.waits_for_calls)
        if call.spec.access == "write":
            self.reread(self.graph[call.id])

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
            self.graph = replace(self.graph, effects=self.graph.effects.delete(self.resolved(call).text))
        self.move(call, Input.FAILURE)
        self.failed(call.id, event.message if event.kind == "failed" else f"{event.kind}: {event.message}")

    def failed(self, id: int, why: str) -> None:
        """Tells the model, and discards the provisional answer: it did not know."""
        self.discard_answer()
        self.tell("tool_error", f"{label(self.graph[id])}: {why}", cuts=not self.settings.waits_for_calls)

    def discard_answer(self) -> None:
        if self.answer is not None:
            self.say(Note("answer_discarded"))
            self.answer, self.wake = None, True

    def revive(self, id: int) -> None:
        """A write answered after all: what was skipped for it can run."""
        for child in self.graph.below(id):
            if self.graph[child].state is CallState.SKIPPED:
                self.move(self.graph[child], Input.REWIND)

    def reread(self, write: Call) -> None:
        """Reads with a higher ID that ran before this effect saw the world as it no longer is: they run again."""
        voided: list[int] = []
        for id in range(write.id + 1, self.graph.highest + 1):
            call = self.graph[id]
            ran = call.state in (CallState.RUNNING, CallState.DONE) and 0 < call.started < write.started
            if not ran or call.spec.access == "write" or not call.spec.conflicts_with(write.spec):
                continue
            # what a later effect was computed from can't be taken back any more
            if self.graph.effect_below(id) is None:
                self.say(Note("stale_read", id))
                voided += self.rewind(call, call, committed=True)
                self.discard_answer()
        self.tell_void(voided)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for item in value.values():
                yield from _texts(item)


def label(call: Call) -> str:
    """A call as results and errors name it: ``2``, and from its second version on ``2v2``."""
    return str(call.id) if call.version == 1 else f"{call.id}v{call.version}"
