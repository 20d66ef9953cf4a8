"""Operations that all parts of the core use on the state that a step changes.

Owns the transitions (`move` is the only function that changes a call's state, and it does everything that the table's
row says), what the model is told, and what cuts it. Does not know events.
"""

from __future__ import annotations

from dataclasses import replace

from midsentence.core.calls import TABLE, Call, Input, effect_key
from midsentence.core.events import CancelTool, Command, Counted, Moved, Note, StartTool, Stop, Unmoved
from midsentence.core.state import Draft, Pending, Phase
from midsentence.core.transcript import CLOSES, Kind, Segment


def say(draft: Draft, command: Command) -> None:
    """Adds a command to what the step asks for."""
    draft.commands.append(command)


def note(draft: Draft, what: Counted, call: int = 0) -> None:
    """Counts something that changes nothing outside."""
    say(draft, Note(what, call))


def move(draft: Draft, call: Call, input: Input, *, becomes: Call | None = None, resolved: Call | None = None) -> bool:
    """One transition of the table, with the effect of its row.

    Args:
        draft: the state being changed.
        call: as it stands.
        input: what happens to it.
        becomes: what that makes of it, its state apart: the result that it has now, other arguments. By default, as it
            stands.
        resolved: of a call that starts, with results in place of the references: what the tool is given.

    Returns:
        Whether the table takes the input in. Where it has no row, or one that drops the input, nothing has changed.
    """
    row = TABLE.get((call.state, input))
    if row is None:
        say(draft, Unmoved(call.id, call.state, input))
        return False
    say(draft, Moved(call.id, call.state, input))
    if row.effect == "drop":
        return False
    if row.effect == "cancel":
        say(draft, CancelTool(call.id, call.version))
    elif row.effect == "void":
        void(draft, call)
    after = becomes or call
    if input is Input.REWIND:
        after = replace(after, version=call.version + 1, commit=0, result=None, in_context=False, started=0)
    elif input is Input.START:
        draft.starts += 1
        after = replace(after, started=draft.starts)
    draft.graph = draft.graph.put(replace(after, state=row.next))
    if row.effect == "start":
        start_tool(draft, resolved or call)
    return True


def start_tool(draft: Draft, call: Call) -> None:
    """Has a tool run, with the arguments of a resolved call."""
    key = effect_key(draft.session, call.id, call.text)
    say(draft, StartTool(call.id, call.version, call.spec.name, call.args, key, call.spec.timeout_ns))


def void(draft: Draft, call: Call) -> None:
    """Takes back a result: out of the inbox if it still waits there; if the model has seen it, it will be told
    (`tell_void`)."""
    draft.inbox = tuple(pending for pending in draft.inbox if pending.call != call.id)
    if call.in_context:
        draft.voided.add(call.id)


def tell_void(draft: Draft) -> None:
    """Tells the model which results are void."""
    if draft.voided:
        tell(draft, "cancel", ", ".join(str(id) for id in sorted(draft.voided)), wakes=False)
        draft.voided.clear()


def tell(draft: Draft, kind: Kind, text: str, *, call: int = 0, cuts: bool = False, wakes: bool = True) -> None:
    """Queues a segment; with ``cuts``, what the model is writing gives way to it."""
    draft.inbox += (Pending(Segment(kind, text, draft.now_ns), call),)
    draft.wake = draft.wake or wakes
    if cuts:
        interrupt(draft, kind)


def interrupt(draft: Draft, kind: Kind) -> None:
    """What the model is writing gives way to information of a kind: now, or as soon as its line or action ends."""
    if draft.phase is not Phase.GENERATING:
        return
    if may_cut(draft, kind):
        cut(draft)
    else:
        draft.cut_pending = draft.parser.where == "tool_call"


def may_cut(draft: Draft, kind: Kind | None) -> bool:
    """Whether information of a kind cuts here and now; a result is no reason to stop an answer half-way."""
    if draft.settings.interrupt == "token":
        return True
    if draft.parser.where == "answer":
        return kind != "tool_result"
    return not (draft.parser.in_line if draft.settings.interrupt == "line" else draft.parser.where == "tool_call")


def cut(draft: Draft) -> None:
    """Stops the model in the middle of what it is writing."""
    note(draft, "cut")
    close_tag(draft)
    stop_writing(draft)


def close_tag(draft: Draft) -> None:
    """The environment closes the tag that a cut leaves open, inside the model's turn."""
    if (tag := draft.parser.open_tag) is not None:
        draft.inbox = (Pending(Segment(CLOSES[tag], "", draft.now_ns)), *draft.inbox)


def stop_writing(draft: Draft) -> None:
    """The model is at rest."""
    say(draft, Stop(draft.generation, draft.span_tokens))
    draft.phase, draft.cut_pending = Phase.IDLE, False


def discard_answer(draft: Draft) -> None:
    """A provisional answer, if there is one, will not go out."""
    if draft.answer is not None:
        note(draft, "answer_discarded")
        draft.answer, draft.wake = None, True
